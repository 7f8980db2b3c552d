package tree

import (
	"context"
	"sync"
)

// growth is a tree that several threads grow. Each takes the best leaf that
// nobody has expanded yet, if it is likely to be split; which leaves are expanded
// cannot change the tree, for a leaf is split only when it is the best one.
type growth struct {
	g   *Grower
	ctx context.Context
	out *Grown

	mu    sync.Mutex
	over  bool
	err   error
	best  []*leaf // working memory of next
	ahead int     // most leaves that are expanded, or being so, and not split
}

// leavesAhead is growth.ahead for each thread.
const leavesAhead = 3

// splitAhead splits the best leaf again and again.
func (g *Grower) splitAhead(ctx context.Context, out *Grown) error {
	w := &growth{g: g, ctx: ctx, out: out, ahead: leavesAhead * g.pool.Threads()}
	g.pool.Run(g.pool.Threads(), func(int) { w.work() })
	return w.err
}

// work expands and splits leaves until the tree is grown.
func (w *growth) work() {
	defer func() {
		// The others must not wait for a thread that panicked.
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
	}()
	for {
		l, over := w.next()
		switch {
		case over:
			return
		case l != nil:
			made := w.g.expansion(l)
			w.mu.Lock()
			l.children, l.busy = made, false
			l.failed = made == nil
			w.mu.Unlock()
		case !w.g.pool.Help():
			w.g.pool.Pause()
		}
	}
}

// next splits leaves as long as the best one is expanded and chooses one to
// expand; nil if there is none now.
func (w *growth) next() (chosen *leaf, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, out := w.g, w.out
	for !w.over {
		if err := w.ctx.Err(); err != nil {
			w.err, w.over = err, true
			break
		}
		at := bestLeaf(out.leaves)
		l := &out.leaves[at]
		if len(out.leaves) >= g.opt.NumLeaves || !(l.best.gain > 0) {
			w.over = true
			break
		}
		if l.children == nil && !l.failed {
			break
		}
		g.commit(out, at)
	}
	if w.over {
		return nil, true
	}
	if chosen = w.choose(); chosen != nil {
		chosen.busy = true
	}
	return chosen, false
}

// choose finds the best leaf to expand among those that may be split yet.
func (w *growth) choose() *leaf {
	best := w.best[:0]
	most := min(2*w.ahead, w.g.opt.NumLeaves-len(w.out.leaves))
	for i := range w.out.leaves {
		l := &w.out.leaves[i]
		if !(l.best.gain > 0) || len(best) == most && !l.best.better(&best[most-1].best) {
			continue
		}
		if len(best) < most {
			best = append(best, l)
		}
		place := len(best) - 1
		for ; place > 0 && l.best.better(&best[place-1].best); place-- {
			best[place] = best[place-1]
		}
		best[place] = l
	}
	w.best = best
	ahead := 0
	for _, l := range best {
		switch {
		case l.busy || l.children != nil || l.failed:
			ahead++
		case ahead < w.ahead:
			return l
		}
	}
	return nil
}
