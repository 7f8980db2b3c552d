#include "textflag.h"

// The constants of engine/random: 1, the multiplier, those of mix, and 2^-53.
DATA packOne<>+0(SB)/8, $1
GLOBL packOne<>(SB), RODATA, $8
DATA packMultiplier<>+0(SB)/8, $0xd1342543de82ef95
GLOBL packMultiplier<>(SB), RODATA, $8
DATA packMix1<>+0(SB)/8, $0xbf58476d1ce4e5b9
GLOBL packMix1<>(SB), RODATA, $8
DATA packMix2<>+0(SB)/8, $0x94d049bb133111eb
GLOBL packMix2<>(SB), RODATA, $8
DATA packStep<>+0(SB)/8, $0x3ca0000000000000
GLOBL packStep<>(SB), RODATA, $8

// ROUND makes OUT the integers of eight numbers at FROM by the scale, as round
// does; Z0 to Z2 are lost.
#define ROUND(FROM, SCALE, OUT) \
	VPMOVZXDQ    (FROM), Z0    \
	VCVTPS2PD    (FROM), Z2    \
	VPADDQ       Z20, Z0, Z0   \
	VPMULLQ      Z21, Z0, Z0   \
	VPADDQ       Z12, Z0, Z0   \
	VPSRLQ       $30, Z0, Z1   \
	VPXORQ       Z1, Z0, Z0    \
	VPMULLQ      Z22, Z0, Z0   \
	VPSRLQ       $27, Z0, Z1   \
	VPXORQ       Z1, Z0, Z0    \
	VPMULLQ      Z23, Z0, Z0   \
	VPSRLQ       $31, Z0, Z1   \
	VPXORQ       Z1, Z0, Z0    \
	VPSRLQ       $11, Z0, Z0   \
	VCVTQQ2PD    Z0, Z0        \
	VMULPD       Z24, Z0, Z0   \
	VMULPD       SCALE, Z2, Z2 \
	VADDPD       Z0, Z2, Z2    \
	VRNDSCALEPD  $9, Z2, Z2    \
	VCVTTPD2QQ   Z2, OUT

// func packGroups(p *packing, packed *int64, grad, hess *float32, groups int)
//
// See pack.go for the fields of packing. hess may be nil.
TEXT ·packGroups(SB), NOSPLIT, $0-40
	MOVQ p+0(FP), DI
	MOVQ packed+8(FP), SI
	MOVQ grad+16(FP), DX
	MOVQ hess+24(FP), BX
	MOVQ groups+32(FP), CX

	VBROADCASTSD 0(DI), Z10               // gradInv
	VBROADCASTSD 8(DI), Z11               // hessInv
	VPBROADCASTQ 16(DI), Z12              // key
	VMOVQ        24(DI), X13              // bits
	VPBROADCASTQ packOne<>(SB), Z20
	VPBROADCASTQ packMultiplier<>(SB), Z21
	VPBROADCASTQ packMix1<>(SB), Z22
	VPBROADCASTQ packMix2<>(SB), Z23
	VBROADCASTSD packStep<>(SB), Z24
	VPXORQ       Z25, Z25, Z25

	TESTQ BX, BX
	JZ    constant

both:
	TESTQ CX, CX
	JLE   done
	ROUND(DX, Z10, Z3)
	ROUND(BX, Z11, Z4)
	VPMAXSQ   Z25, Z4, Z4
	VPSLLQ    X13, Z3, Z3
	VPADDQ    Z4, Z3, Z3
	VMOVDQU64 Z3, (SI)
	ADDQ      $32, DX
	ADDQ      $32, BX
	ADDQ      $64, SI
	DECQ      CX
	JMP       both

constant:
	TESTQ CX, CX
	JLE   done
	ROUND(DX, Z10, Z3)
	VPSLLQ    X13, Z3, Z3
	VPADDQ    Z20, Z3, Z3
	VMOVDQU64 Z3, (SI)
	ADDQ      $32, DX
	ADDQ      $64, SI
	DECQ      CX
	JMP       constant

done:
	VZEROUPPER
	RET
