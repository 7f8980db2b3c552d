package read

import (
	"bytes"
	"errors"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
)

func TestCheckPacked(t *testing.T) {
	t.Parallel()
	plain := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, codec := range []compress.Codec{&parquet.Snappy, &parquet.Gzip, &parquet.Brotli, &parquet.Zstd, &parquet.Lz4Raw} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			packed, err := codec.Encode(nil, plain)
			if err != nil {
				t.Fatal(err)
			}
			code, size := codec.CompressionCodec(), int64(len(plain))
			if err := checkPacked(code, packed, size); err != nil {
				t.Errorf("a good page: %v", err)
			}
			for _, declared := range []int64{0, 1, size - 1, size + 1, pageMemory} {
				if err := checkPacked(code, packed, declared); !errors.Is(err, errPageLen) && !errors.Is(err, errPacked) {
					t.Errorf("%d bytes declared as %d: %v", size, declared, err)
				}
			}
			if code == format.Snappy { // its start alone is looked at
				return
			}
			if err := checkPacked(code, packed[:len(packed)/2], size); err == nil {
				t.Error("half a page passed")
			}
		})
	}
	if err := checkPacked(format.LZO, []byte{1}, 1); err == nil {
		t.Error("a format that is not supported passed")
	}
}

func TestZstdSize(t *testing.T) {
	t.Parallel()
	packed, err := parquet.Zstd.Encode(nil, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := zstdSize(packed); !ok || n != 1<<20 {
		t.Errorf("one frame: %d, %v", n, ok)
	}
	// Two frames unpack to more than the first one says.
	if n, ok := zstdSize(append(packed, packed...)); ok {
		t.Errorf("two frames passed as %d bytes", n)
	}
	if err := checkPacked(format.Zstd, append(packed, packed...), 1<<20); !errors.Is(err, errPageLen) {
		t.Errorf("two frames: %v", err)
	}
}
