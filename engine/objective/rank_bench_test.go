package objective

import (
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// BenchmarkRanking has the derivatives of queries of 8 to 40 rows with five
// labels, by scores that change from one iteration to the next as in training.
func BenchmarkRanking(b *testing.B) {
	const queries = 8_000
	src := random.New(9)
	md := &dataset.Metadata{QueryStart: []int32{0}}
	var scores [8][]float64
	for range queries {
		for range 8 + src.IntN(33) {
			y := min(4, int(8*src.Float64()*src.Float64()))
			md.Label = append(md.Label, float32(y))
			s := float64(y)/2 + 2*src.Float64()
			for i := range scores {
				scores[i] = append(scores[i], s)
				s += 0.1 * (src.Float64() - 0.5)
			}
		}
		md.QueryStart = append(md.QueryStart, int32(len(md.Label)))
	}
	n := len(md.Label)
	pool := parallel.New(1)
	defer pool.Close()
	for _, name := range []string{"lambdarank", "rank_xendcg"} {
		cfg := lightgbm.NewConfig()
		cfg.Objective = name
		o, err := New(cfg, md)
		if err != nil {
			b.Fatal(err)
		}
		grad, hess := make([]float32, n), make([]float32, n)
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				o.Gradients(pool, i, scores[i%len(scores)], grad, hess)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}
