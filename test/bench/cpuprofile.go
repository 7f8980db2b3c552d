package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// cpuSample is a moment of a CPU profile: the functions that ran, the innermost
// first, and for how long.
type cpuSample struct {
	stack []string
	nanos int64
}

// readProfile reads a CPU profile as runtime/pprof writes it: the message
// perftools.profiles.Profile, of which only stacks and times are looked at.
func readProfile(packed []byte) ([]cpuSample, error) {
	unpack, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	raw, err := io.ReadAll(unpack)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := profile{locations: map[uint64][]uint64{}, functions: map[uint64]uint64{}}
	if err := fields(raw, p.field); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return p.resolve()
}

// profile has the parts of the message that matter.
type profile struct {
	samples   []rawSample
	locations map[uint64][]uint64 // functions of each, the innermost first
	functions map[uint64]uint64   // names of each, among the strings
	strings   []string
}

type rawSample struct{ locations, values []uint64 }

func (p *profile) field(number int, value uint64, data []byte) error {
	switch number {
	case 2:
		var s rawSample
		p.samples = append(p.samples, s)
		to := &p.samples[len(p.samples)-1]
		return fields(data, func(number int, value uint64, data []byte) error {
			switch number {
			case 1:
				return appendNumbers(&to.locations, value, data)
			case 2:
				return appendNumbers(&to.values, value, data)
			}
			return nil
		})
	case 4:
		return p.location(data)
	case 5:
		var id, name uint64
		err := fields(data, func(number int, value uint64, _ []byte) error {
			switch number {
			case 1:
				id = value
			case 2:
				name = value
			}
			return nil
		})
		p.functions[id] = name
		return err
	case 6:
		p.strings = append(p.strings, string(data))
	}
	return nil
}

func (p *profile) location(data []byte) error {
	var id uint64
	var functions []uint64
	err := fields(data, func(number int, value uint64, data []byte) error {
		switch number {
		case 1:
			id = value
		case 4: // a line
			return fields(data, func(number int, value uint64, _ []byte) error {
				if number == 1 {
					functions = append(functions, value)
				}
				return nil
			})
		}
		return nil
	})
	p.locations[id] = functions
	return err
}

// resolve puts names in the place of numbers.
func (p *profile) resolve() ([]cpuSample, error) {
	var out []cpuSample
	for _, raw := range p.samples {
		if len(raw.values) < 2 {
			return nil, errors.New("profile: a sample has no time")
		}
		s := cpuSample{nanos: int64(raw.values[1])} // after the count
		for _, at := range raw.locations {
			for _, f := range p.locations[at] {
				name := p.functions[f]
				if name >= uint64(len(p.strings)) {
					return nil, errors.New("profile: a function has no name")
				}
				s.stack = append(s.stack, p.strings[name])
			}
		}
		out = append(out, s)
	}
	return out, nil
}

var errBadMessage = errors.New("not a protocol buffer")

// fields calls use for every field of a protocol buffer, with its number or its
// bytes.
func fields(b []byte, use func(number int, value uint64, data []byte) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return errBadMessage
		}
		b = b[n:]
		var value uint64
		var data []byte
		switch key & 7 {
		case 0, 2:
			if value, n = binary.Uvarint(b); n <= 0 {
				return errBadMessage
			}
			b = b[n:]
			if key&7 == 2 {
				if value > uint64(len(b)) {
					return errBadMessage
				}
				data, b = b[:value], b[value:]
			}
		default: // a profile has no other kinds
			return errBadMessage
		}
		if err := use(int(key>>3), value, data); err != nil {
			return err
		}
	}
	return nil
}

// appendNumbers adds a number, or those that are packed together.
func appendNumbers(to *[]uint64, value uint64, data []byte) error {
	if data == nil {
		*to = append(*to, value)
		return nil
	}
	for len(data) > 0 {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return errBadMessage
		}
		*to, data = append(*to, v), data[n:]
	}
	return nil
}
