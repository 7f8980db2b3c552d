package tree

import "golang.org/x/sys/cpu"

// scanFast says that this processor has what scanGroups and packGroups need.
var scanFast = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL

// scanGroups passes over groups of eight bins, the first at h and each step
// bytes from the one before, up to one that may hold a better threshold. It
// returns their number, and leaves s.sum and s.count as they are before that
// group.
//
//go:noescape
func scanGroups(s *scan, h *int64, groups, step int) int
