package tree

// walkNodes takes len(at) groups of rows, of width columns each, from the root
// to their leaves. Nodes and columns must be as flatNode says and cells must hold
// all groups: the assembly checks nothing. It is written by hand because Go keeps
// the eight places in memory, which takes twice as long.
//
//go:noescape
func walkNodes(nodes []flatNode, cells []cell, width int, at []places)

// toRanks turns each of k into the number of keys below it, of 2^steps - 1.
//
//go:noescape
func toRanks(keys []uint64, steps int, k *[lanes]uint64)
