package read

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/big"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// store puts a number where it belongs.
func (col *parquetColumn) store(b *Batch, i int, x float64, checked bool) (problem, hint string) {
	switch col.slot {
	case slotLabel:
		b.Label[i] = float32(x)
		return checkLabel(x, checked)
	case slotWeight:
		b.Weight[i] = float32(x)
		return checkWeight(x)
	case slotGroup:
		b.Group[i] = int64(x)
		return checkGroup(x)
	}
	b.Values[i*b.Features+int(col.slot)] = x
	if math.IsInf(x, 0) {
		return "the value is infinite", "write finite numbers, or null for a missing value"
	}
	return "", ""
}

// number converts a value.
func (col *parquetColumn) number(v parquet.Value) (float64, bool) {
	if v.IsNull() {
		return math.NaN(), true
	}
	switch v.Kind() {
	case parquet.Double:
		return v.Double(), true
	case parquet.Float:
		return float64(v.Float()), true
	case parquet.Boolean:
		if v.Boolean() {
			return 1, true
		}
		return 0, true
	case parquet.Int32:
		if col.unsigned {
			return float64(v.Uint32()), true
		}
		return decimalOf(int64(v.Int32()), col.scale), true
	case parquet.Int64:
		if col.unsigned {
			return float64(v.Uint64()), true
		}
		return decimalOf(v.Int64(), col.scale), true
	case parquet.ByteArray, parquet.FixedLenByteArray:
		bytes := v.ByteArray()
		switch {
		case col.half && len(bytes) == 2:
			return halfFloat(binary.LittleEndian.Uint16(bytes)), true
		case col.decimal && len(bytes) <= 1024:
			return bigDecimal(bytes, col.scale), true
		}
	default:
	}
	return 0, false
}

// decimalOf is v / 10^scale, rounded once.
func decimalOf(v int64, scale int) float64 {
	if scale == 0 {
		return float64(v)
	}
	if -1<<53 <= v && v <= 1<<53 && scale < len(exactPowers) {
		return float64(v) / exactPowers[scale]
	}
	return parseScaled(strconv.FormatInt(v, 10), scale)
}

// bigDecimal is a big-endian number in two's complement over 10^scale.
func bigDecimal(b []byte, scale int) float64 {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return parseScaled(v.String(), scale)
}

func parseScaled(digits string, scale int) float64 {
	// The only error is overflow, which gives an infinity that is refused.
	f, _ := strconv.ParseFloat(digits+"e-"+strconv.Itoa(scale), 64)
	return f
}

// halfFloat is an IEEE 754 binary16 number.
func halfFloat(h uint16) float64 {
	exponent, fraction := int(h>>10&31), float64(h&1023)
	var f float64
	switch exponent {
	case 0:
		f = fraction / (1 << 24)
	case 31:
		f = math.Inf(1)
		if fraction != 0 {
			return math.NaN()
		}
	default:
		f = (1024 + fraction) * math.Float64frombits(uint64(exponent-25+1023)<<52)
	}
	if h>>15 == 1 {
		f = -f
	}
	return f
}

// chunkReader gives the values of a column of a row group one by one.
type chunkReader struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    []parquet.Value
	at, n  int
}

func (c *chunkReader) next() (parquet.Value, error) {
	for c.at == c.n {
		if err := c.fill(); err != nil {
			return parquet.Value{}, err
		}
	}
	v := c.buf[c.at]
	c.at++
	return v, nil
}

func (c *chunkReader) fill() error {
	if c.values == nil {
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		c.page, c.values = page, page.Values()
	}
	n, err := c.values.ReadValues(c.buf)
	c.at, c.n = 0, n
	if errors.Is(err, io.EOF) {
		c.values = nil
		parquet.Release(c.page)
		c.page = nil
		return nil
	}
	return err
}

func (c *chunkReader) close() {
	if c == nil {
		return
	}
	if c.page != nil {
		parquet.Release(c.page)
	}
	_ = c.pages.Close()
}
