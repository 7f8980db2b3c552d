#include "textflag.h"

// func scanGroups(s *scan, h *int64, groups, step int) int
//
// See scan.go for the fields of scan. Eight bins are one vector, ordered by
// their distance from where the scan began.
TEXT ·scanGroups(SB), NOSPLIT, $0-40
	MOVQ s+0(FP), DI
	MOVQ h+8(FP), SI
	MOVQ groups+16(FP), CX
	MOVQ step+24(FP), R8
	XORQ AX, AX

	VPBROADCASTQ 0(DI), Z20  // sum
	VPBROADCASTQ 8(DI), Z21  // count
	VPBROADCASTQ 16(DI), Z10 // total
	VPBROADCASTQ 24(DI), Z11 // mask
	VMOVQ        32(DI), X12 // bits
	VPBROADCASTQ 40(DI), Z13 // countLeast
	VPBROADCASTQ 48(DI), Z14 // countMost
	VPBROADCASTQ 56(DI), Z15 // hessLeast
	VPBROADCASTQ 64(DI), Z16 // hessMost
	VBROADCASTSD 72(DI), Z17 // perHess
	VBROADCASTSD 80(DI), Z18 // extra
	VBROADCASTSD 88(DI), Z19 // least
	VBROADCASTSD 96(DI), Z22 // half
	VPBROADCASTQ 104(DI), Z24 // last
	MOVQ         112(DI), BX
	VMOVDQU64    (BX), Z23 // order
	VPXORQ       Z25, Z25, Z25

group:
	CMPQ AX, CX
	JGE  none

	VMOVDQU64 (SI), Z0
	VPERMQ    Z0, Z23, Z0

	// Rows of each bin, as leafTerms.rows has them.
	VPANDQ     Z11, Z0, Z1
	VCVTQQ2PD  Z1, Z1
	VMULPD     Z17, Z1, Z1
	VADDPD     Z22, Z1, Z1
	VCVTTPD2QQ Z1, Z1

	// Running sums.
	VALIGNQ $7, Z25, Z0, Z2
	VALIGNQ $7, Z25, Z1, Z3
	VPADDQ  Z2, Z0, Z0
	VPADDQ  Z3, Z1, Z1
	VALIGNQ $6, Z25, Z0, Z2
	VALIGNQ $6, Z25, Z1, Z3
	VPADDQ  Z2, Z0, Z0
	VPADDQ  Z3, Z1, Z1
	VALIGNQ $4, Z25, Z0, Z2
	VALIGNQ $4, Z25, Z1, Z3
	VPADDQ  Z2, Z0, Z0
	VPADDQ  Z3, Z1, Z1
	VPADDQ  Z20, Z0, Z0
	VPADDQ  Z21, Z1, Z1

	// Enough rows and hessians on both sides?
	VPANDQ Z11, Z0, Z2
	VPCMPQ $5, Z13, Z1, K1
	VPCMPQ $2, Z14, Z1, K1, K1
	VPCMPQ $5, Z15, Z2, K1, K1
	VPCMPQ $2, Z16, Z2, K1, K1
	KMOVB  K1, DX
	TESTL  DX, DX
	JZ     next

	// The sieve.
	VPSUBQ    Z0, Z10, Z3
	VPSRAQ    X12, Z0, Z4
	VPSRAQ    X12, Z3, Z5
	VPANDQ    Z11, Z3, Z3
	VCVTQQ2PD Z2, Z2
	VCVTQQ2PD Z3, Z3
	VCVTQQ2PD Z4, Z4
	VCVTQQ2PD Z5, Z5
	VADDPD    Z18, Z2, Z2
	VADDPD    Z18, Z3, Z3
	VMULPD    Z4, Z4, Z4
	VMULPD    Z5, Z5, Z5
	VMULPD    Z3, Z4, Z4
	VMULPD    Z2, Z5, Z5
	VADDPD    Z5, Z4, Z4
	VMULPD    Z2, Z3, Z3
	VMULPD    Z19, Z3, Z3
	VCMPPD    $30, Z3, Z4, K1, K1
	KMOVB     K1, DX
	TESTL     DX, DX
	JNZ       found

next:
	VPERMQ Z0, Z24, Z20
	VPERMQ Z1, Z24, Z21
	ADDQ   R8, SI
	INCQ   AX
	JMP    group

found:
none:
	VMOVQ X20, 0(DI)
	VMOVQ X21, 8(DI)
	VZEROUPPER
	MOVQ  AX, ret+32(FP)
	RET
