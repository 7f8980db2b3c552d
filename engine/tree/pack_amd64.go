package tree

// packGroups packs groups of eight rows.
//
//go:noescape
func packGroups(p *packing, packed *int64, grad, hess *float32, groups int)
