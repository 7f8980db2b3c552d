package cli

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloister/trust/approval"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

// signFlags say who signs.
type signFlags struct {
	keys       []string
	descriptor int
	signatures []string
	read       []*approval.PrivateKey // once: a passphrase is read once
}

func (f *signFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "sign with the private key in `FILE`; once for each")
	flags.IntVar(&f.descriptor, "passphrase-fd", -1, "read the key's passphrase from file descriptor `N`")
}

// external adds the flag for what was signed elsewhere.
func (f *signFlags) external(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.signatures, "signature", "s", nil, "a signature in `FILE` that was made elsewhere; once for each")
}

// signers are the keys.
func (f *signFlags) signers() ([]*approval.PrivateKey, error) {
	if f.read != nil {
		return f.read, nil
	}
	for _, path := range f.keys {
		key, err := readPrivateKey(path, f.descriptor)
		if err != nil {
			return nil, err
		}
		f.read = append(f.read, key)
	}
	return f.read, nil
}

// sign shows what is signed, signs it with each key, and adds what was signed
// elsewhere.
func (f *signFlags) sign(a *app, purpose approval.Purpose, statement []byte) ([]string, error) {
	keys, err := f.signers()
	if err != nil {
		return nil, err
	}
	if !a.quiet && len(keys) > 0 {
		a.console.printf("%s", statement)
	}
	var texts []string
	for _, key := range keys {
		s, err := key.Sign(rand.Reader, purpose, statement)
		if err != nil {
			return nil, err
		}
		text, err := s.MarshalText()
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	for _, path := range f.signatures {
		const maxBytes = 1 << 16
		text, err := a.readSmall(path, maxBytes)
		if err != nil {
			return nil, err
		}
		s, err := approval.ParseSignature(text)
		if err == nil {
			err = s.Verify(purpose, statement)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", inputName(path), err)
		}
		texts = append(texts, string(text))
	}
	if len(texts) == 0 {
		return nil, inputError("--key=FILE signs; --help says how to sign elsewhere", "nothing is signed")
	}
	return texts, nil
}

// orderFlags are those of every command that gives an order.
type orderFlags struct {
	broker brokerFlags
	sign   signFlags
	owner  string
	save   string
}

func (f *orderFlags) flags(cmd *cobra.Command) {
	f.broker.flags(cmd)
	f.sign.flags(cmd)
	cmd.Flags().StringVar(&f.save, "save", "", "write the order to `FILE` and do not give it: see \"cloister broker owner order --help\"")
}

// named adds the flag for the owner, for commands that name nothing of the
// owner's.
func (f *orderFlags) named(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.owner, "owner", "", "the owner's `NAME`, if it does not follow from the key")
}

// ownerName is whose order it is: the one named, or the owner of the key.
func (f *orderFlags) ownerName(c *contact) (policy.Name, error) {
	if c.policy == nil {
		return "", noPolicyYet()
	}
	if f.owner != "" {
		if c.policy.Owners[policy.Name(f.owner)] == nil {
			return "", inputError("", "there is no owner %.80q in the policy in force", f.owner)
		}
		return policy.Name(f.owner), nil
	}
	keys, err := f.sign.signers()
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		if name := c.policy.OwnerOf(key.Public()); name != "" {
			return name, nil
		}
	}
	if len(keys) == 0 {
		return "", inputError("--owner=NAME says it", "whose order it is does not follow without --key")
	}
	return "", &Error{Code: ExitRefused, Err: fmt.Errorf("%w: the key %s is no owner's in the policy in force", broker.ErrRefused, keys[0].Public().Fingerprint())}
}

func noPolicyYet() error {
	return &Error{
		Code: ExitRefused, Hint: `"cloister broker owner approve" approves it`,
		Err: fmt.Errorf("%w: no policy is in force yet: the first one waits for the approval of its owners", broker.ErrRefused),
	}
}

// number is that of the owner's next order.
func (c *contact) number(owner policy.Name, all []broker.OwnerState) (uint64, error) {
	for _, o := range all {
		if o.Owner == owner {
			return o.Number + 1, nil
		}
	}
	return 0, &Error{Code: ExitRefused, Err: fmt.Errorf("%w: there is no owner %.80q in the policy in force", broker.ErrRefused, owner)}
}

// itemOf reads OWNER/NAME.
func itemOf(text string) (policy.Item, error) {
	var item policy.Item
	if err := item.UnmarshalText([]byte(text)); err != nil {
		return "", inputError("", "%w", err)
	}
	return item, nil
}

// versionOf reads OWNER/NAME@VERSION.
func versionOf(text string) (policy.Item, uint64, error) {
	name, number, ok := strings.Cut(text, "@")
	if !ok {
		return "", 0, inputError("write it as OWNER/NAME@VERSION, such as hospital-a/wards@1", "%.100q names no version", text)
	}
	item, err := itemOf(name)
	if err != nil {
		return "", 0, err
	}
	var version uint64
	if _, err := fmt.Sscanf(number, "%d", &version); err != nil || version == 0 || fmt.Sprint(version) != number {
		return "", 0, inputError("versions begin with 1", "%.100q: %.40q is no version", text, number)
	}
	return item, version, nil
}

// oneArgument demands one argument.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return inputError(fmt.Sprintf("%q says more", cmd.CommandPath()+" --help"), "name %s, not %d", what, len(args))
	}
}
