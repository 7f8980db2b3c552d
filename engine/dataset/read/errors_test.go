package read_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"cloister/engine/dataset/read"
)

func gzipped(tb testing.TB, parts ...string) string {
	tb.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(p)); err != nil {
			tb.Fatal(err)
		}
		if err := z.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return b.String()
}

func zstded(tb testing.TB, text string) string {
	tb.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return string(z.EncodeAll([]byte(text), nil))
}

func TestErrors(t *testing.T) {
	t.Parallel()
	header := read.Options{Header: true}
	long := strings.Repeat("1,2\n", 50_000)
	zipped := gzipped(t, long)
	for name, c := range map[string]struct {
		text string
		opt  read.Options
		want string
	}{
		"empty":                     {"", read.Options{}, `table: has no rows; check that it is the right file`},
		"blank lines only":          {"\n\n \n", read.Options{}, `table: has no rows; check that it is the right file`},
		"header only":               {"a,b\n", header, `table: has a header but no rows; check that it is the right file`},
		"one column":                {"1\n2\n", read.Options{}, `table:1: has one column only: there is no comma, tab or colon in "1"; give CSV, TSV, LibSVM or Parquet`},
		"semicolons":                {"1;2\n2;3\n", read.Options{}, `table:1: has one column only: there is no comma, tab or colon in "1;2"; separate the columns by commas or tabs`},
		"word in the first row":     {"y,a\n1,2\n", read.Options{}, `table:1: field 1: "y" is not a number; if the first line holds the columns' names, set header=true; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"word later":                {"1,2\n0,3\n1,abc\n", read.Options{}, `table:3: field 2: "abc" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"word with a header":        {"y,\"a,b\"\n\n1,2\n1,x y\n", header, `table:4: field 2 (a,b): "x y" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"long word":                 {"1,2\n1," + strings.Repeat("é", 200) + "\n", read.Options{}, `table:2: field 2: "éééééééééééééééééééé…" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"control characters":        {"1,2\n1,a\x1b[31mb\n", read.Options{}, `table:2: field 2: "a·[31mb" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"NUL byte first":            {"1,2\n1,\x00\n", read.Options{}, `table: is a binary file, not text; give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd`},
		"binned":                    {"\x89CLSTR\r\n\x01\x00\x00\x00HEAD", read.Options{}, `table: is a binary data set, which has bins and no values; to train on it give it as a plain file; else give the table it was made from`},
		"binned and compressed":     {gzipped(t, "\x89CLSTR\r\n\x01\x00\x00\x00HEAD"), read.Options{}, `table: is a binary data set, which has bins and no values; to train on it give it as a plain file; else give the table it was made from`},
		"binned by LightGBM":        {"______LightGBM_Binary_File_Token______\n\x00\x01", read.Options{}, `table: is a binary data set of LightGBM's, whose layout is private to it; give the table it was made from`},
		"NUL byte later":            {long + "1,\x00\n", read.Options{}, `table:50001: field 2: "·" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"1e400":                     {"1,2\n1,1e400\n", read.Options{}, `table:2: field 2: "1e400" is too large for a 64-bit number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"inf":                       {"1,2\n1,inf\n", read.Options{}, `table:2: field 2: "inf" is infinite; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"minus infinity":            {"1,2\n1,-Infinity\n", read.Options{}, `table:2: field 2: "-Infinity" is infinite; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"hexadecimal":               {"1,2\n1,0x10\n", read.Options{}, `table:2: field 2: "0x10" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"underscore":                {"1,2\n1,1_000\n", read.Options{}, `table:2: field 2: "1_000" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"two numbers in a field":    {"1,2\n1,3 4\n", read.Options{}, `table:2: field 2: "3 4" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"carriage returns":          {"1,2\r1,3\r", read.Options{}, `table:1: a carriage return without a line feed stands in the line; end lines by line feeds: tr '\r' '\n' writes them`},
		"open mark in the header":   {"a,\"b\n1,2\n", header, `table:1: field 2: the quotation mark of the name is not closed in its line; close it or remove it`},
		"open quotation mark":       {"1,2\n1,\"3\n", read.Options{}, `table:2: field 2: the quotation mark is not closed in its line; close it or remove it`},
		"too few fields":            {"1,2,3\n1,2\n", read.Options{}, `table:2: the line has 2 fields, but the table has 3 columns; every line must have the same number of fields`},
		"too many fields":           {"1,2,3\n1,2,3,4\n", read.Options{}, `table:2: the line has 4 fields, but the table has 3 columns; every line must have the same number of fields`},
		"too many fields in TSV":    {"1\t2\n1\t2\t\n", read.Options{}, `table:2: the line has 3 fields, but the table has 2 columns; every line must have the same number of fields`},
		"bad line after blank ones": {"1,2\r\n\r\n\r\n1,2,3\r\n", read.Options{}, `table:4: the line has 3 fields, but the table has 2 columns; every line must have the same number of fields`},
		"first of several":          {long + "1,x\n" + long + long + long + "1,y\n", read.Options{Threads: 8}, `table:50001: field 2: "x" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"header width":              {"a,b\n1,2,3\n", header, `table:1: the header has 2 fields, but the first row has 3; give every column one name`},
		"missing label":             {"1,2\n,3\n", read.Options{CheckLabel: true}, `table:2: field 1: the label is missing; remove the row or fill in its label`},
		"infinite label":            {"1,2\ninf,3\n", read.Options{CheckLabel: true}, `table:2: field 1: the label is infinite or too large for a 32-bit number; correct it or scale the labels`},
		"label beyond float32":      {"1,2\n1e39,3\n", read.Options{CheckLabel: true}, `table:2: field 1: the label is infinite or too large for a 32-bit number; correct it or scale the labels`},
		"negative weight":           {"1,2,3\n1,-2,3\n", read.Options{Weight: read.ByIndex(0)}, `table:2: field 2: the weight is negative; weights must be finite and not negative`},
		"missing weight":            {"1,2,3\n1,,3\n", read.Options{Weight: read.ByIndex(0)}, `table:2: field 2: the weight is missing; weights must be finite and not negative`},
		"group is no integer":       {"1,2,3\n1,2.5,3\n", read.Options{Group: read.ByIndex(0)}, `table:2: field 2: the group is not a whole number; the group column must hold whole numbers, equal for the rows of one query`},
		"label column out of range": {"1,2\n", read.Options{Label: read.ByIndex(2)}, `table: label_column is 2, but the table has 2 columns; these columns are counted from 0 to 1`},
		"weight column out of range": {
			"1,2\n", read.Options{Weight: read.ByIndex(1)}, `table: weight_column is 1, but the table has 1 column besides the label's; these columns are counted from 0 to 0`,
		},
		"name without header": {"1,2\n", read.Options{Label: read.ByName("y")}, `table: label_column is name:y, but the table has no header; set header=true or give the column's number`},
		"unknown name":        {"label,weight\n1,2\n", read.Options{Header: true, Label: read.ByName("lable")}, `table: label_column is name:lable, but no column has that name; did you mean label?`},
		"unknown name, none is near": {
			"label,weight\n1,2\n", read.Options{Header: true, Label: read.ByName("z")}, `table: label_column is name:z, but no column has that name; the columns are label, weight`,
		},
		"ambiguous name":        {"y,a,a\n1,2,3\n", read.Options{Header: true, Weight: read.ByName("a")}, `table: weight_column is name:a, but columns 1 and 2 both have that name; give the column's number`},
		"weight is the label":   {"y,a\n1,2\n", read.Options{Header: true, Weight: read.ByName("y")}, `table: weight_column is name:y, which is the label's column; name another column or leave it out`},
		"weight is the group":   {"1,2,3\n", read.Options{Weight: read.ByIndex(0), Group: read.ByIndex(0)}, `table: weight_column and group_column name the same column; columns are counted from 0 without the label's`},
		"line too long":         {"1,2\n" + strings.Repeat("1", 2<<20) + ",2\n", read.Options{MaxLine: 1 << 20}, `table:2: the line is longer than 1048576 bytes; check that the file is a table, one row a line`},
		"first line too long":   {strings.Repeat("1", 2<<20), read.Options{MaxLine: 1 << 20}, `table:1: has one column only: there is no comma, tab or colon in "1111111111111111111111111111111111111111…"; give CSV, TSV, LibSVM or Parquet`},
		"too many features":     {"1,2,3,4\n", read.Options{MaxFeatures: 2}, `table: 3 features are more than the limit of 2; number the features without large gaps`},
		"bzip2":                 {"BZh91AY&SY", read.Options{}, `table: is a bzip2 file, which is not supported; give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd`},
		"xz":                    {"\xfd7zXZ\x00\x00", read.Options{}, `table: is an xz file, which is not supported; give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd`},
		"zip":                   {"PK\x03\x04....", read.Options{}, `table: is a zip file (or a spreadsheet), which is not supported; give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd`},
		"UTF-16":                {"\xff\xfe1\x00,\x00", read.Options{}, `table: is UTF-16 text, which is not supported; give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd`},
		"truncated gzip":        {zipped[:len(zipped)-20], read.Options{}, `table: is truncated; copy or compress the file again`},
		"gzip with garbage":     {gzipped(t, "1,2\n") + "garbage and more", read.Options{}, `table: cannot decompress: gzip: invalid header; the file may be damaged: copy or compress it again`},
		"gzip header only":      {"\x1f\x8b\x08", read.Options{}, `table: is truncated; copy or compress the file again`},
		"truncated zstd":        {zstded(t, long)[:30], read.Options{}, `table: is truncated; copy or compress the file again`},
		"damaged zstd":          {"\x28\xb5\x2f\xfdxxxxxxxxxx", read.Options{}, `table: cannot decompress: reserved bit set on frame header; the file may be damaged: copy or compress it again`},
		"LibSVM descends":       {"1 0:1\n1 3:1 2:1\n", read.Options{}, `table:2: the index 2 follows 3: the indices of a line must ascend; sort the pairs of each line by index and keep one of each`},
		"LibSVM twice":          {"1 0:1\n1 2:1 2:1\n", read.Options{}, `table:2: the index 2 follows 2: the indices of a line must ascend; sort the pairs of each line by index and keep one of each`},
		"LibSVM negative index": {"1 0:1\n1 -1:1\n", read.Options{}, `table:2: "-1:1" is not an index:value pair; a LibSVM line is a label and pairs of an index from 0 and a number, separated by blanks`},
		"LibSVM huge index":     {"1 0:1\n1 99999999999999999999:1\n", read.Options{}, `table:2: the index 99999999999999999999 is too large: at most 16777216 features are read; number the features without large gaps`},
		"LibSVM index beyond the model": {
			"1 0:1\n1 5:1\n", read.Options{Features: 5}, `table:2: the index 5 is too large: there are 5 features, counted from 0; use the features that the model was trained with`,
		},
		"LibSVM bad value":     {"1 0:1\n1 5:x\n", read.Options{}, `table:2: the value of index 5: "x" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"LibSVM infinite":      {"1 0:1\n1 5:inf\n", read.Options{}, `table:2: the value of index 5: "inf" is infinite; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"LibSVM no label":      {"1 0:1\n5:1\n", read.Options{}, `table:2: the line has no label: it starts with "5:1"; start every line with a label`},
		"LibSVM bad label":     {"1 0:1\nx 5:1\n", read.Options{}, `table:2: field 1: "x" is not a number; write a finite decimal number, or nothing, na, nan or null for a missing value`},
		"LibSVM missing label": {"1 0:1\nna 5:1\n", read.Options{CheckLabel: true}, `table:2: field 1: the label is missing; remove the row or fill in its label`},
		"LibSVM qid":           {"1 qid:1 0:1\n", read.Options{}, `table:1: "qid:1" is not an index:value pair; give the sizes of the queries in a .query file beside the table`},
		"LibSVM comment":       {"1 0:1 # comment\n", read.Options{}, `table:1: "#" is not an index:value pair; remove comments`},
		"LibSVM weight":        {"1 0:1\n1 0:-1\n", read.Options{Weight: read.ByIndex(0)}, `table:2: the weight is negative; weights must be finite and not negative`},
		"LibSVM label column":  {"1 0:1\n", read.Options{Label: read.ByIndex(1)}, `table: label_column is not 0, but the label of a LibSVM table is the first column; remove label_column`},
		"LibSVM name":          {"1 0:1\n", read.Options{Weight: read.ByName("w")}, `table: weight_column is name:w, but a LibSVM table has no names; give the feature's number`},
		"CSV with colons":      {"1,12:30\n2,13:30\n", read.Options{}, `table:1: the line has no label: it starts with "1,12:30"; colons in its first lines make the table LibSVM: for CSV or TSV, remove them`},
		"Parquet truncated":    {"PAR1", read.Options{}, `table: is truncated Parquet; write or copy the file again`},
		"Parquet without end":  {"PAR1" + strings.Repeat("x", 100), read.Options{}, `table: is truncated Parquet; write or copy the file again`},
		"Parquet with a huge footer": {
			"PAR1\x00\x00\x00\x00\xff\xff\xff\xffPAR1", read.Options{}, `table: is truncated Parquet; write or copy the file again`,
		},
		"Parquet with a huge list": {
			"PAR1\x15\x02\x19\xfc\xff\xff\xff\xff\x07\x00\x0a\x00\x00\x00PAR1", read.Options{}, `table: is damaged Parquet: the metadata ends too early; write or copy the file again`,
		},
		"Parquet encrypted": {"PAR1\x00\x00\x00\x00\x00\x00\x00\x00PARE", read.Options{}, `table: is encrypted Parquet, which is not supported; write it without Parquet's own encryption`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readAll(c.text, c.opt)
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != c.want {
				t.Errorf("error\n got: %s\nwant: %s", err, c.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := read.Open(context.Background(), read.File(filepath.Join(t.TempDir(), "none.csv")), read.Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasSuffix(err.Error(), "none.csv: cannot open: no such file or directory; check the path; it is relative to the working directory") {
		t.Errorf("error = %v", err)
	}
	_, err = read.Open(context.Background(), read.File(t.TempDir()), read.Options{})
	if err == nil || !strings.Contains(err.Error(), "is a directory; name a file in it") {
		t.Errorf("error = %v", err)
	}
}
