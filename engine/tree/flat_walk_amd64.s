#include "textflag.h"

// The place of one lane, PLACE, moves on: TEMP is the column of its node, then
// the row's byte in it; the comparison's carry is set if the byte is greater than
// the key. R15 collects the columns, which are 0 when all lanes are in leaves.
#define STEP(PLACE, LANE) \
	MOVWLZX 4(R8)(PLACE*8), R14; \
	ORL     R14, R15;            \
	MOVBLZX LANE(R9)(R14*8), R14; \
	CMPB    6(R8)(PLACE*8), R14; \
	MOVL    (R8)(PLACE*8), PLACE; \
	ADCL    $0, PLACE

// func walkNodes(nodes []flatNode, cells []cell, width int, at []places)
TEXT ·walkNodes(SB), NOSPLIT, $8-80
	MOVQ nodes_base+0(FP), R8
	MOVQ cells_base+24(FP), R9
	MOVQ at_base+56(FP), R10
	MOVQ at_len+64(FP), AX
	MOVQ AX, left-8(SP)

group:
	XORL AX, AX
	XORL BX, BX
	XORL CX, CX
	XORL DX, DX
	XORL SI, SI
	XORL DI, DI
	XORL R11, R11
	XORL R12, R12

step:
	XORL R15, R15
	STEP(AX, 0)
	STEP(BX, 1)
	STEP(CX, 2)
	STEP(DX, 3)
	STEP(SI, 4)
	STEP(DI, 5)
	STEP(R11, 6)
	STEP(R12, 7)
	TESTL R15, R15
	JNZ  step

	MOVL AX, 0(R10)
	MOVL BX, 4(R10)
	MOVL CX, 8(R10)
	MOVL DX, 12(R10)
	MOVL SI, 16(R10)
	MOVL DI, 20(R10)
	MOVL R11, 24(R10)
	MOVL R12, 28(R10)
	ADDQ $32, R10
	MOVQ width+48(FP), AX
	LEAQ (R9)(AX*8), R9
	DECQ left-8(SP)
	JNZ  group
	RET

// One step of the search of one lane: RANK, in bytes, moves on by R9 if the last
// of the keys that it would pass is below K.
#define SEARCH(RANK, K) \
	LEAQ    (RANK)(R9*1), R10; \
	CMPQ    -8(R8)(R10*1), K; \
	CMOVQCS R10, RANK

// func toRanks(keys []uint64, steps int, k *[8]uint64)
TEXT ·toRanks(SB), NOSPLIT, $0-40
	MOVQ keys_base+0(FP), R8
	MOVQ steps+24(FP), CX
	MOVQ k+32(FP), R15
	MOVQ $4, R14
	SHLQ CX, R14 // half of the keys, in bytes
	MOVQ $2, DI

four:
	MOVQ 0(R15), R11
	MOVQ 8(R15), R12
	MOVQ 16(R15), R13
	MOVQ 24(R15), SI
	XORL AX, AX
	XORL BX, BX
	XORL CX, CX
	XORL DX, DX
	MOVQ R14, R9
	CMPQ R9, $8
	JB   found

search:
	SEARCH(AX, R11)
	SEARCH(BX, R12)
	SEARCH(CX, R13)
	SEARCH(DX, SI)
	SHRQ $1, R9
	CMPQ R9, $8
	JAE  search

found:
	SHRQ $3, AX
	SHRQ $3, BX
	SHRQ $3, CX
	SHRQ $3, DX
	MOVQ AX, 0(R15)
	MOVQ BX, 8(R15)
	MOVQ CX, 16(R15)
	MOVQ DX, 24(R15)
	ADDQ $32, R15
	DECQ DI
	JNZ  four
	RET
