package dataset

import "cloister/engine/dataset/read"

// admitSample asks whether a sample of n rows fits into the memory, if it can be
// guessed how much that is.
func (b *building) admitSample(t *read.Table, n int) error {
	if b.o.Admit == nil {
		return nil
	}
	rows, bytes := t.Guess()
	if rows <= 0 {
		return nil
	}
	share := min(1, float64(n)/rows)
	return b.o.Admit(Need{Bytes: int64(bytes * share), Rows: int(min(rows, RowLimit)), Features: t.Features()})
}

// admitBins asks whether the bins fit.
func (b *building) admitBins() error {
	if b.o.Admit == nil {
		return nil
	}
	d := b.d
	need := int64(d.Rows) * int64(len(d.Blocks)) * 8
	if d.Sparse != nil {
		need += 8*int64(d.Rows) + 4*int64(b.expectedEntries())
	}
	need += 4 * int64(d.Rows) * int64(d.rawWidth())
	return b.o.Admit(Need{Bytes: need, Rows: d.Rows, Features: len(d.Mappers), Data: d})
}
