package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
)

// A table of slices: one for each feature.
func ExampleFromColumns() {
	o := dataset.DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1 // the table is tiny
	d, _, err := dataset.FromColumns(context.Background(), dataset.Columns{
		Values: [][]float64{
			{5.1, 4.9, 6.3, math.NaN()},
			{3, 3, 3, 3}, // constant: no split can use it
		},
		Names:    []string{"length", "width"},
		Metadata: dataset.Metadata{Label: []float32{0, 0, 1, 1}},
	}, o, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d)
	fmt.Println(d.FeatureInfos())
	// Output:
	// 4 rows, 2 features, 1 used (0 sparse), 5 bins
	// [[4.9000000000000004:6.2999999999999998] none]
}

// Validation data takes the bins of the training data.
func ExampleFromMatrix() {
	ctx, o := context.Background(), dataset.DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	train, _, err := dataset.FromMatrix(ctx, dataset.Matrix{
		Values: []float64{1, 10, 2, 20, 3, 30}, Rows: 3, Features: 2,
		Metadata: dataset.Metadata{Label: []float32{0, 1, 1}},
	}, o, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	valid, _, err := dataset.FromMatrix(ctx, dataset.Matrix{
		Values: []float64{2.2, 99}, Rows: 1, Features: 2,
		Metadata: dataset.Metadata{Label: []float32{1}},
	}, o, train)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(valid.BinAt(0, 0), train.BinAt(0, 1))
	fmt.Println(valid.BinAt(1, 0), train.BinAt(1, 2))
	// Output:
	// 2 2
	// 3 3
}

// Rows may come from anywhere, here from a generator of sparse rows.
func ExampleFromRows() {
	o := dataset.DefaultOptions()
	var rows iter.Seq2[dataset.Row, error] = func(yield func(dataset.Row, error) bool) {
		for i := range 1000 {
			row := dataset.Row{Index: []int32{int32(i % 50)}, Values: []float64{1}, Label: float32(i % 2)}
			if !yield(row, nil) {
				return
			}
		}
	}
	d, _, err := dataset.FromRows(context.Background(), rows, dataset.Schema{Features: 50, Sparse: true}, o, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d)
	fmt.Println(d.Bytes(), "bytes")
	// Output:
	// 1000 rows, 50 features, 50 used (0 sparse, 50 in 1 bundles), 100 bins
	// 8000 bytes
}

// A table in a file, or, as here, behind any reader, with weights beside it.
func ExampleLoad() {
	const table = "y,size,colour\n1,2.5,0\n0,,2\n0,1.5,2\n1,3.5,0\n"
	weights := read.Bytes("train.csv.weight", []byte("1\n1\n0.5\n1\n"))
	o := dataset.DefaultOptions()
	o.CategoricalNames = []string{"colour"}
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	d, _, err := dataset.Load(context.Background(), dataset.Input{
		Table:  read.Bytes("train.csv", []byte(table)),
		Read:   read.Options{Header: true, Label: read.ByName("y")},
		Weight: &weights,
	}, o, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d)
	fmt.Println(d.FeatureInfos(), d.Weight)
	// Output:
	// 4 rows, 2 features, 2 used (0 sparse), 8 bins
	// [[1.5:3.5] -1:0:2] [1 1 0.5 1]
}

// A table can come in several files, and its bins can be stored for later.
func ExampleDataset_WriteBinary() {
	in := dataset.Input{Table: read.Bytes("a.csv", []byte("1,2.5\n0,1.5\n"))}
	in.More = []dataset.Input{{Table: read.Bytes("b.csv", []byte("0,0.5\n1,3.5\n"))}}
	o := dataset.DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	ctx := context.Background()
	d, _, err := dataset.Load(ctx, in, o, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := d.WriteBinary(&file); err != nil {
		fmt.Println(err)
		return
	}
	stored := dataset.Input{Table: read.Bytes("train.bin", file.Bytes())}
	again, _, err := dataset.Load(ctx, stored, o, nil)
	fmt.Println(again, err)
	o.MaxBin = 63
	_, _, err = dataset.Load(ctx, stored, o, nil)
	fmt.Println(err)
	// Output:
	// 4 rows, 1 features, 1 used (0 sparse), 5 bins <nil>
	// max_bin: is 63, but train.bin was made with 255; leave it out, or save the data set again
}

// Rows can also be added one at a time.
func ExampleBuilder() {
	b := dataset.NewBuilder(dataset.Schema{Features: 1, Weighted: true})
	for i := range 100 {
		if err := b.Append(dataset.Row{Values: []float64{float64(i)}, Label: float32(i % 2), Weight: 1}); err != nil {
			fmt.Println(err)
			return
		}
	}
	d, _, err := b.Build(context.Background(), dataset.DefaultOptions(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d)
	// Output:
	// 100 rows, 1 features, 1 used (0 sparse), 34 bins
}
