package tree

// walk takes rows, in groups of so many columns, from the root to their leaves.
func (t *flatTree) walk(cells []cell, width int, at []places) {
	if len(at) > 0 {
		walkNodes(t.nodes, cells[:len(at)*width], width, at)
	}
}

// above is 1 if a > b, else 0, without a branch.
func above(a, b uint8) uint32 {
	var yes uint32
	if a > b {
		yes = 1
	}
	return yes
}

// walkSimply is walkNodes in Go. Written out lane by lane, the places can stay
// in registers.
func walkSimply(nodes []flatNode, cells []cell, width int, at []places) {
	for i := range at {
		columns := cells[i*width : (i+1)*width]
		var a, b, c, d, e, f, g, h uint32
		for inner := uint16(1); inner != 0; { // until all are in leaves
			n := &nodes[a]
			inner = n.column
			a = n.next + above(columns[n.column][0], n.key)
			n = &nodes[b]
			inner |= n.column
			b = n.next + above(columns[n.column][1], n.key)
			n = &nodes[c]
			inner |= n.column
			c = n.next + above(columns[n.column][2], n.key)
			n = &nodes[d]
			inner |= n.column
			d = n.next + above(columns[n.column][3], n.key)
			n = &nodes[e]
			inner |= n.column
			e = n.next + above(columns[n.column][4], n.key)
			n = &nodes[f]
			inner |= n.column
			f = n.next + above(columns[n.column][5], n.key)
			n = &nodes[g]
			inner |= n.column
			g = n.next + above(columns[n.column][6], n.key)
			n = &nodes[h]
			inner |= n.column
			h = n.next + above(columns[n.column][7], n.key)
		}
		at[i] = places{a, b, c, d, e, f, g, h}
	}
}

// toRanksSimply is toRanks in Go.
func toRanksSimply(keys []uint64, steps int, k *[lanes]uint64) {
	for lane := range k {
		k[lane] = uint64(countBelow(keys, steps, k[lane]))
	}
}
