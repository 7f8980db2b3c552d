//go:build !amd64

package tree

func walkNodes(nodes []flatNode, cells []cell, width int, at []places) {
	walkSimply(nodes, cells, width, at)
}

func toRanks(keys []uint64, steps int, k *[lanes]uint64) { toRanksSimply(keys, steps, k) }
