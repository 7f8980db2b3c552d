package witness

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// maxProof is the greatest number of hashes in a request.
const maxProof = 63

// maxRequest is the greatest length of a request's body.
const maxRequest = audit.MaxCheckpoint + 8<<10

// request is the body of add-checkpoint (C2SP tlog-witness).
type request struct {
	oldSize int64
	proof   tlog.TreeProof
	signed  []byte // the checkpoint
}

func (r *request) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.oldSize)
	for _, h := range r.proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(r.signed)
	return b.Bytes()
}

func parseRequest(body []byte) (*request, error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	digits, ok := strings.CutPrefix(lines[0], "old ")
	size, err := parseSize(digits)
	if !ok || err != nil {
		return nil, fmt.Errorf("line 1: %.40q is not \"old\" and a size", lines[0])
	}
	if len(lines)-1 > maxProof {
		return nil, fmt.Errorf("a proof of %d lines, of at most %d", len(lines)-1, maxProof)
	}
	r := &request{oldSize: size, signed: signed}
	for i, line := range lines[1:] {
		h, err := audit.ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		r.proof = append(r.proof, h)
	}
	return r, nil
}

func parseSize(s string) (int64, error) {
	size, err := strconv.ParseInt(s, 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != s {
		return 0, fmt.Errorf("%.40q is not a tree's size", s)
	}
	return size, nil
}
