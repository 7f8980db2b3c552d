package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/broker"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

const ownerKeyLong = `The keys of an owner's data sets. Each version of a data set has a key of its own;
the number of a version is never used again.`

func (a *app) newOwnerKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, bring, rotate, list and destroy keys",
		Long:  ownerKeyLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newKeyNewCommand(), a.newKeyRotateCommand(), a.newKeyBringCommand(), a.newKeyListCommand(), a.newKeyDestroyCommand())
	return cmd
}

// keyUse is the flag that says what a key is for.
func keyUse(cmd *cobra.Command, use *string, most string) {
	cmd.Flags().StringVar(use, "use", string(vault.Data), "what the key is for: "+most)
}

const usesOfKeys = "data, 32 bytes that seal a data set, or gramine-mount, 16 bytes for an encrypted mount of Gramine"

func (a *app) newKeyNewCommand() *cobra.Command {
	f, use := &orderFlags{}, ""
	cmd := &cobra.Command{
		Use:     "new OWNER/NAME",
		Short:   "Have the broker make the first key of a data set",
		Long:    `Have the broker make the key of version 1 of a data set. Later versions get theirs by "rotate".`,
		Example: "  cloister broker owner key new hospital-a/wards --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one data set, OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.newKey(cmd.Context(), f, args[0], vault.Use(use), true)
		},
	}
	f.flags(cmd)
	keyUse(cmd, &use, usesOfKeys)
	return cmd
}

func (a *app) newKeyRotateCommand() *cobra.Command {
	f, use := &orderFlags{}, ""
	cmd := &cobra.Command{
		Use:   "rotate OWNER/NAME",
		Short: "Have the broker make the key of the next version",
		Long: `Have the broker make the key of the next version of a data set: the data that are
sealed under it are registered as that version. The keys of older versions stay
until they are destroyed; who may get which is for the policy to say.`,
		Example: "  cloister broker owner key rotate hospital-a/wards --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one data set, OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.newKey(cmd.Context(), f, args[0], vault.Use(use), false)
		},
	}
	f.flags(cmd)
	keyUse(cmd, &use, usesOfKeys)
	return cmd
}

// newKey has the broker make the next key, which is the first or is not.
func (a *app) newKey(ctx context.Context, f *orderFlags, name string, use vault.Use, first bool) error {
	item, err := itemOf(name)
	if err != nil {
		return err
	}
	return a.order(ctx, f, func(c *contact) (*broker.Order, error) {
		state, err := c.client.DataSet(ctx, item)
		if err != nil {
			return nil, err
		}
		switch {
		case first && state.Next != 1:
			return nil, inputError(`"rotate" makes the key of the next version`, "%s has %s already", item, counted(int(state.Next-1), "version"))
		case !first && state.Next == 1:
			return nil, inputError(`"new" makes the first`, "%s has no key yet", item)
		}
		return &broker.Order{Owner: item.Owner(), Operation: broker.NewKey, DataSet: item.Name(), Version: state.Next, Use: use}, nil
	}, describeKey)
}

func describeKey(answer *broker.OrderAnswer) string {
	if answer.Key == nil {
		return ""
	}
	k := answer.Key
	return fmt.Sprintf("key %s of %s/%s@%d, of use %s, %s\n", k.ID, k.Owner, k.DataSet, k.Version, k.Use, k.Origin)
}

const keyBringLong = `Give the broker a key that its owner made, as the next version of a data set. It
is wrapped here to the key that the broker's evidence binds, so that only the
broker that was attested opens it, and only as this version.

The key is read from standard input, a file or a descriptor: its 32 bytes (data)
or 16 (gramine-mount), or with --hex twice as many digits.`

// valueFlags say where a secret value comes from: never the command line, which
// other processes can read.
type valueFlags struct {
	file       string
	descriptor int
}

func (v *valueFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.file, "from", "-", "read it from `FILE`; - is standard input")
	cmd.Flags().IntVar(&v.descriptor, "from-fd", -1, "read it from file descriptor `N`")
	cmd.MarkFlagsMutuallyExclusive("from", "from-fd")
}

func (v *valueFlags) read(a *app) (secret.Bytes, error) {
	from := a.stdin
	name := v.file
	switch {
	case v.descriptor >= 0:
		f := os.NewFile(uintptr(v.descriptor), "value")
		if f == nil {
			return secret.Bytes{}, inputError("", "--from-fd=%d is no open file", v.descriptor)
		}
		defer f.Close() //nolint:errcheck // it was only read
		from, name = f, fmt.Sprintf("--from-fd=%d", v.descriptor)
	case v.file != "-":
		f, err := os.Open(v.file)
		if err != nil {
			return secret.Bytes{}, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		from = f
	}
	value, err := secret.Read(from, vault.MaxOpaque)
	if err != nil {
		return value, fmt.Errorf("%s: %w", inputName(name), err)
	}
	return value, nil
}

func (a *app) newKeyBringCommand() *cobra.Command {
	f, v, use, isHex := &orderFlags{}, &valueFlags{}, "", false
	cmd := &cobra.Command{
		Use:     "bring OWNER/NAME",
		Short:   "Give the broker a key that its owner made",
		Long:    keyBringLong,
		Example: "  cloister broker owner key bring hospital-a/wards --from wards.key --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one data set, OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := v.read(a)
			if err != nil {
				return err
			}
			defer value.Zero()
			if isHex {
				if value, err = fromHex(value); err != nil {
					return err
				}
				defer value.Zero()
			}
			return a.bring(cmd.Context(), f, args[0], vault.Use(use), value)
		},
	}
	f.flags(cmd)
	v.flags(cmd)
	keyUse(cmd, &use, usesOfKeys)
	cmd.Flags().BoolVar(&isHex, "hex", false, "the key is written in hexadecimal digits")
	return cmd
}

// fromHex decodes a key without making strings of it.
func fromHex(text secret.Bytes) (secret.Bytes, error) {
	digits := text.Expose()
	for len(digits) > 0 && (digits[len(digits)-1] == '\n' || digits[len(digits)-1] == '\r') {
		digits = digits[:len(digits)-1]
	}
	value := secret.New(len(digits) / 2)
	for i, c := range digits {
		at := strings.IndexByte("0123456789abcdef", c|0x20)
		if at < 0 || len(digits)%2 != 0 {
			value.Zero()
			return secret.Bytes{}, inputError("", "the key is not written in pairs of hexadecimal digits")
		}
		value.Expose()[i/2] = value.Expose()[i/2]<<4 | byte(at)
	}
	return value, nil
}

// bring wraps a value to the broker's key and hands it in as the next version.
func (a *app) bring(ctx context.Context, f *orderFlags, name string, use vault.Use, value secret.Bytes) error {
	item, err := itemOf(name)
	if err != nil {
		return err
	}
	return a.order(ctx, f, func(c *contact) (*broker.Order, error) {
		if err := c.attestedKey(); err != nil {
			return nil, err
		}
		state, err := c.client.DataSet(ctx, item)
		if err != nil {
			return nil, err
		}
		ref := vault.Ref{Owner: string(item.Owner()), DataSet: string(item.Name()), Version: state.Next}
		wrapped, err := vault.WrapKey(c.known.HPKE, c.known.Broker, ref, use, value)
		if err != nil {
			return nil, inputError("", "%w", err)
		}
		return &broker.Order{
			Owner: item.Owner(), Operation: broker.BringKey, DataSet: item.Name(), Version: state.Next, Use: use, Wrapped: wrapped,
		}, nil
	}, describeKey)
}

// attestedKey makes sure that the key which secrets are wrapped to is the one that
// the broker's evidence bound.
func (c *contact) attestedKey() error {
	if bytes.Equal(c.info.HPKE, c.known.HPKE) {
		return nil
	}
	return &Error{
		Code: ExitRefused, Hint: `"cloister broker owner attest" appraises it`,
		Err: fmt.Errorf("%w: the broker wants keys wrapped to another key than its evidence bound", broker.ErrWrongBroker),
	}
}

const ownerSecretLong = `Give the broker a secret, such as a password, which programs get that the policy
names it for. The value is read from standard input, a file or a descriptor, never
from the command line, and is wrapped here to the attested broker. A newline at its
end is not part of it, unless --raw. A new value is a new version; programs get the
newest.`

func (a *app) newOwnerSecretCommand() *cobra.Command {
	f, v, isRaw := &orderFlags{}, &valueFlags{}, false
	cmd := &cobra.Command{
		Use:     "secret OWNER/NAME",
		Short:   "Give the broker a secret",
		Long:    ownerSecretLong,
		Example: "  cloister broker owner secret hospital-a/password --from password.txt --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one secret, OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := v.read(a)
			if err != nil {
				return err
			}
			defer value.Zero()
			b := value.Expose()
			if n := len(b); !isRaw && n > 0 && b[n-1] == '\n' {
				b = b[:n-1]
			}
			part := secret.Copy(b)
			defer part.Zero()
			return a.bring(cmd.Context(), f, args[0], vault.Opaque, part)
		},
	}
	f.flags(cmd)
	v.flags(cmd)
	cmd.Flags().BoolVar(&isRaw, "raw", false, "take every byte, a newline at the end too")
	return cmd
}

func (a *app) newKeyListCommand() *cobra.Command {
	f := &brokerFlags{}
	cmd := &cobra.Command{
		Use:   "list OWNER[/NAME]",
		Short: "List an owner's keys and secrets",
		Long:  "List the keys and secrets of an owner, or the versions of one data set with what is registered of them.",
		Example: `  cloister broker owner key list hospital-a --pin clinics.pin
  cloister broker owner key list hospital-a/wards --pin clinics.pin`,
		Args: oneArgument("an owner, or one data set, OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.listKeys(cmd.Context(), f, args[0]) },
	}
	f.flags(cmd)
	return cmd
}

func (a *app) listKeys(ctx context.Context, f *brokerFlags, name string) error {
	c, err := a.contact(ctx, f)
	if err != nil {
		return err
	}
	defer c.client.Close()
	var state *broker.DataSetState
	if strings.Contains(name, "/") {
		item, err := itemOf(name)
		if err != nil {
			return err
		}
		if state, err = c.client.DataSet(ctx, item); err != nil {
			return err
		}
	} else {
		keys, err := c.client.Keys(ctx, policy.Name(name))
		if err != nil {
			return err
		}
		state = &broker.DataSetState{Keys: keys}
	}
	if a.json {
		return a.printJSON(state)
	}
	var b strings.Builder
	for _, k := range state.Keys {
		fmt.Fprintf(&b, "%s/%s@%d  %s  %s  %s %s", k.Owner, k.DataSet, k.Version, k.ID, k.Use, k.Origin, k.Created.UTC().Format(time.DateOnly))
		if !k.Destroyed.IsZero() {
			fmt.Fprintf(&b, "  DESTROYED %s", k.Destroyed.UTC().Format(time.DateOnly))
		}
		for _, r := range state.Registered {
			if r.Version == k.Version {
				fmt.Fprintf(&b, "  registered sha256:%x", r.Digest)
			}
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return a.print("no keys\n")
	}
	return a.print(b.String())
}

func (a *app) newKeyDestroyCommand() *cobra.Command {
	f := &orderFlags{}
	cmd := &cobra.Command{
		Use:   "destroy OWNER/NAME@VERSION",
		Short: "Destroy the key of one version",
		Long: `Destroy the key of one version of a data set, or one version of a secret. What is
sealed under it can be opened by nobody any more, except with a backup that was
made before.`,
		Example: "  cloister broker owner key destroy hospital-a/wards@1 --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one version, OWNER/NAME@VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			item, version, err := versionOf(args[0])
			if err != nil {
				return err
			}
			return a.order(cmd.Context(), f, func(*contact) (*broker.Order, error) {
				return &broker.Order{Owner: item.Owner(), Operation: broker.DestroyKey, DataSet: item.Name(), Version: version}, nil
			}, func(*broker.OrderAnswer) string { return args[0] + " is destroyed\n" })
		},
	}
	f.flags(cmd)
	return cmd
}

const ownerRegisterLong = `Enter a version of a data set in the broker's register: the SHA-256 of its sealed
bytes, and the terms of use that a program must enforce to get its key. Programs
learn of both with the key, and of the newest version that is registered, so that
an older version in the place of a newer one is noticed. An entry never changes.

A version that is not registered is released to nobody: what terms it has is not
known. Without --terms it has none.`

func (a *app) newOwnerRegisterCommand() *cobra.Command {
	f := &orderFlags{}
	var file, digest string
	var terms []string
	cmd := &cobra.Command{
		Use:   "register OWNER/NAME@VERSION",
		Short: "Register a version of a data set",
		Long:  ownerRegisterLong,
		Example: `  cloister broker owner register hospital-a/wards@1 --file wards.sealed --terms no-export --pin clinics.pin --key ~/.ssh/id_ed25519
  cloister broker owner register hospital-a/wards@1 --digest sha256:5a5a… --pin clinics.pin --key ~/.ssh/id_ed25519`,
		Args: oneArgument("one version, OWNER/NAME@VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.register(cmd.Context(), f, args[0], file, digest, terms)
		},
	}
	f.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&file, "file", "", "the sealed data set in `FILE`, of which the SHA-256 is taken")
	flags.StringVar(&digest, "digest", "", "the SHA-256 of the sealed data set in `HEX`")
	flags.StringSliceVar(&terms, "terms", nil, "the `TERMS` of use that a program must enforce")
	cmd.MarkFlagsMutuallyExclusive("file", "digest")
	cmd.MarkFlagsOneRequired("file", "digest")
	return cmd
}

func (a *app) register(ctx context.Context, f *orderFlags, name, file, digest string, terms []string) error {
	item, version, err := versionOf(name)
	if err != nil {
		return err
	}
	var sum broker.Digest
	if file != "" {
		sum, err = digestOf(file)
	} else if sumErr := sum.UnmarshalText([]byte(strings.TrimPrefix(digest, "sha256:"))); sumErr != nil {
		err = inputError("", "--digest: %w", sumErr)
	}
	if err != nil {
		return err
	}
	return a.order(ctx, f, func(c *contact) (*broker.Order, error) {
		state, err := c.client.DataSet(ctx, item)
		if err != nil {
			return nil, err
		}
		o := &broker.Order{Owner: item.Owner(), Operation: broker.Register, DataSet: item.Name(), Version: version, Digest: sum}
		for _, t := range terms {
			o.Terms = append(o.Terms, policy.Name(t))
		}
		for _, k := range state.Keys {
			if k.Version == version && k.Destroyed.IsZero() {
				o.KeyID = k.ID
			}
		}
		if o.KeyID == "" {
			return nil, inputError(`"cloister broker owner key list" shows what there is`, "%s has no key", name)
		}
		return o, nil
	}, func(*broker.OrderAnswer) string { return fmt.Sprintf("%s is registered with sha256:%s\n", name, sum) })
}

func digestOf(path string) (sum broker.Digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	copy(sum[:], h.Sum(nil))
	return sum, nil
}
