package vault

import (
	"fmt"
	"strconv"
	"strings"
)

// Ref names one key: that of one version of one owner's data set.
type Ref struct {
	Owner   string `json:"owner"`
	DataSet string `json:"data_set"`
	Version uint64 `json:"version"` // from 1
}

// String is how a key is spoken of, and its key in the store.
func (r Ref) String() string {
	return fmt.Sprintf("%s/%s/%020d", r.Owner, r.DataSet, r.Version)
}

func (r Ref) check() error {
	if err := checkName("owner", r.Owner); err != nil {
		return err
	}
	if err := checkName("data set", r.DataSet); err != nil {
		return err
	}
	if r.Version == 0 {
		return fmt.Errorf("data set %s of owner %s: versions begin with 1", r.DataSet, r.Owner)
	}
	return nil
}

// parseRef reads the key of a record.
func parseRef(key string) (Ref, error) {
	parts := strings.Split(key, "/")
	if len(parts) == 3 && len(parts[2]) == 20 {
		version, err := strconv.ParseUint(parts[2], 10, 64)
		if r := (Ref{parts[0], parts[1], version}); err == nil && r.check() == nil {
			return r, nil
		}
	}
	return Ref{}, fmt.Errorf("%w: %.200q names no key", ErrTampered, key)
}

const maxName = 64

// checkName accepts what the policy accepts as a name: lower-case letters and
// digits, with single dots, dashes and underscores between them. No path and no
// trick of encoding is one.
func checkName(what, name string) error {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	ok := name != "" && len(name) <= maxName
	for i := 0; i < len(name) && ok; i++ {
		mark := name[i] == '.' || name[i] == '-' || name[i] == '_'
		ok = letter(name[i]) || mark && i > 0 && i < len(name)-1 && letter(name[i-1]) && letter(name[i+1])
	}
	if !ok {
		return fmt.Errorf("%s %.80q: a name has up to %d lower case letters and digits, with single dots, dashes and underscores between them",
			what, name, maxName)
	}
	return nil
}
