package read_test

import (
	"context"
	"fmt"

	"cloister/engine/dataset/read"
)

// Rows come in batches from several goroutines; InOrder puts what is made of
// them in the table's order.
func ExampleTable_Rows() {
	ctx := context.Background()
	text := "price,rooms,area\n300,3,80.5\n180,2,\n"
	table, err := read.Open(ctx, read.Bytes("flats.csv", []byte(text)), read.Options{Header: true, Threads: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(table.Format(), table.Names())
	err = table.Rows(ctx, func(b *read.Batch) error {
		for i := range b.Rows {
			fmt.Println(b.First+i, b.Label[i], b.Values[i*b.Features:(i+1)*b.Features])
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// CSV [rooms area]
	// 0 300 [3 80.5]
	// 1 180 [2 NaN]
}

// A mistake is reported with its place and what to do.
func ExampleError() {
	ctx := context.Background()
	text := "price,rooms\n300,3\n180,two\n"
	table, err := read.Open(ctx, read.Bytes("flats.csv", []byte(text)), read.Options{Header: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = table.Rows(ctx, func(*read.Batch) error { return nil })
	fmt.Println(err)
	// Output:
	// flats.csv:3: field 2 (rooms): "two" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value
}
