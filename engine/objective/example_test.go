package objective_test

import (
	"fmt"

	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// A loss of one's own: squared error that counts twice where the score is
// below the label.
func ExampleCustom() {
	label := []float64{1, 1}
	loss := objective.Custom{
		Derivatives: func(_ int, scores []float64, grad, hess []float32) {
			for i, s := range scores {
				weight := 1.0
				if s < label[i] {
					weight = 2
				}
				grad[i], hess[i] = float32(weight*(s-label[i])), float32(weight)
			}
		},
	}

	pool := parallel.New(1)
	defer pool.Close()
	grad, hess := make([]float32, 2), make([]float32, 2)
	loss.Gradients(pool, 0, []float64{0, 3}, grad, hess)
	fmt.Println(grad, hess)
	// Output: [-2 2] [2 1]
}
