#include "textflag.h"

// func stride(base, size uintptr, rows *uint32, n int)
TEXT ·stride(SB), NOSPLIT, $0-32
	MOVQ base+0(FP), SI
	MOVQ size+8(FP), BX
	MOVQ rows+16(FP), DX
	MOVQ n+24(FP), CX
	TESTQ CX, CX
	JLE done

next:
	MOVL (DX), AX
	IMULQ BX, AX
	PREFETCHT0 (SI)(AX*1)
	ADDQ $4, DX
	DECQ CX
	JNZ next

done:
	RET
