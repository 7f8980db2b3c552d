package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/approval"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/document"
	"cloister/trust/secret"
)

const brokerPolicyLong = `A policy says who owns which keys, which measured programs may get them, and how
many owners must sign a change. docs/reference/policy.md describes each field.

What counts is not the text of the file but what it says: its canonical form, a
line for each thing. "show" prints it, "hash" its SHA-256, and "diff" the lines in
which two versions differ, which is exactly what owners sign.`

func (a *app) newBrokerPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show, compare, sign and check versions of a policy",
		Long:  brokerPolicyLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newPolicyShowCommand(), a.newPolicyHashCommand(), a.newPolicyDiffCommand(), a.newPolicySignCommand(), a.newPolicyCheckCommand())
	return cmd
}

// policyFiles demands a file, and takes up to most.
func policyFiles(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n >= 1 && n <= most {
			return nil
		}
		what := "one policy"
		if most > 1 {
			what = "a policy, or two: the one before and the new one"
		}
		return inputError(fmt.Sprintf("%q says more", cmd.CommandPath()+" --help"), "name %s, not %d", what, len(args))
	}
}

// readPolicy reads and checks a policy file, or standard input for "-".
func (a *app) readPolicy(path string) (*policy.Policy, error) {
	text, err := a.readSmall(path, document.MaxBytes)
	if err != nil {
		return nil, err
	}
	return policy.Parse(inputName(path), text)
}

func (a *app) newPolicyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print what a policy says, as it is hashed and signed",
		Long: `Print the canonical form of a policy: a line for each thing that it says, defaults
among them. It is what is hashed, and nothing in it is hidden: control and
bidirectional characters are escaped. "-" is standard input.`,
		Example: "  cloister broker policy show policy.yaml",
		Args:    policyFiles(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.readPolicy(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Hash   policy.Hash    `json:"hash"`
					Policy *policy.Policy `json:"policy"`
				}{p.Hash(), p})
			}
			return a.print(string(p.Canonical()))
		},
	}
}

func (a *app) newPolicyHashCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hash FILE",
		Short:   "Print the hash of a policy",
		Long:    `Print the SHA-256 of what "cloister broker policy show" prints: what the next version names as previous.`,
		Example: "  cloister broker policy hash policy.yaml",
		Args:    policyFiles(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.readPolicy(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"hash": p.Hash(), "broker": p.Broker, "version": p.Version})
			}
			return a.print(p.Hash().String() + "\n")
		},
	}
}

const policyDiffLong = `Print the difference between two versions of a policy: exactly what its owners
sign, byte for byte. With one file it is the first version. What the change does,
who must sign it and what follows from it is told on standard error; --json has
all of it.

An owner signs with "cloister broker policy sign", or, for example with a key in a
security token, with OpenSSH:

  cloister broker policy diff old.yaml new.yaml > change
  ssh-keygen -Y sign -n ` + string(approval.ForPolicy) + ` -f ~/.ssh/id_ed25519_sk change`

// policyDiff is what "cloister broker policy diff --json" prints.
type policyDiff struct {
	From      *policyVersion `json:"from"` // null for the first version
	To        policyVersion  `json:"to"`
	Statement string         `json:"statement"`
	Lines     []policy.Line  `json:"lines"`
	Needs     policy.Needs   `json:"needs"`
	Waits     string         `json:"waits"`
	Destroys  []policy.Name  `json:"destroys_keys_of,omitempty"`
}

type policyVersion struct {
	Version uint64      `json:"version"`
	Hash    policy.Hash `json:"hash"`
}

func (a *app) newPolicyDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "diff [OLD] NEW",
		Short:   "Print the difference that owners sign",
		Long:    policyDiffLong,
		Example: "  cloister broker policy diff old.yaml new.yaml",
		Args:    policyFiles(2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.readChange(args)
			if err != nil {
				return err
			}
			if a.json {
				d := policyDiff{
					To: policyVersion{c.New.Version, c.New.Hash()}, Statement: string(c.Statement()), Lines: c.Lines, Needs: c.Needs(),
					Waits: c.Waits().String(), Destroys: c.Destroys(),
				}
				if c.Old != nil {
					d.From = &policyVersion{c.Old.Version, c.Old.Hash()}
				}
				return a.printJSON(d)
			}
			if err := a.print(string(c.Statement())); err != nil {
				return err
			}
			a.tellChange(c)
			return nil
		},
	}
}

// readChange reads one version, or two that follow each other.
func (a *app) readChange(args []string) (*policy.Change, error) {
	var old *policy.Policy
	if len(args) == 2 {
		if args[0] == "-" && args[1] == "-" {
			return nil, inputError("name a file for one of them", "two policies cannot both be standard input")
		}
		var err error
		if old, err = a.readPolicy(args[0]); err != nil {
			return nil, err
		}
	}
	next, err := a.readPolicy(args[len(args)-1])
	if err != nil {
		return nil, err
	}
	c, err := policy.Compare(old, next)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inputName(args[len(args)-1]), err)
	}
	return c, nil
}

// tellChange says on standard error what a change does and needs.
func (a *app) tellChange(c *policy.Change) {
	if a.quiet {
		return
	}
	needs := c.Needs()
	a.console.printf("\n%d of %s must sign: %s\n", needs.Approvals, counted(len(needs.Of), "owner", "owners"), joinNames(needs.Of))
	for _, m := range needs.Must {
		recovery := ""
		if m.Recovery {
			recovery = " (its recovery key does, too)"
		}
		a.console.printf("%s must sign%s: %s\n", m.Owner, recovery, printable(m.Why))
	}
	for _, gone := range c.Destroys() {
		a.console.printf("%s leaves: all of its keys are destroyed\n", gone)
	}
	if w := c.Waits(); w > 0 {
		a.console.printf("the change waits %s after its last signature\n", w)
	}
}

func joinNames(names []policy.Name) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}

const policySignLong = `Sign the difference between two versions of a policy, or the first version. What
is signed is shown on standard error, as "cloister broker policy diff" prints it.

The key is Ed25519 in PEM (PKCS #8), or a private key of OpenSSH, whose signature
is then one that "ssh-keygen -Y verify" accepts. A key in a security token signs
with "ssh-keygen -Y sign": see "cloister broker policy diff --help".`

func (a *app) newPolicySignCommand() *cobra.Command {
	var keyFile, out string
	var descriptor int
	cmd := &cobra.Command{
		Use:     "sign [OLD] NEW --key FILE",
		Short:   "Sign a change of a policy",
		Long:    policySignLong,
		Example: "  cloister broker policy sign old.yaml new.yaml --key ~/.ssh/id_ed25519 -o hospital-a.sig",
		Args:    policyFiles(2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.readChange(args)
			if err != nil {
				return err
			}
			key, err := readPrivateKey(keyFile, descriptor)
			if err != nil {
				return err
			}
			return a.signChange(c, key, out)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&keyFile, "key", "", "sign with the private key in `FILE`")
	flags.IntVar(&descriptor, "passphrase-fd", -1, "read the key's passphrase from file descriptor `N`")
	flags.StringVarP(&out, "output", "o", "-", "write the signature to `FILE`")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

// readPrivateKey reads a private key and, where it needs one, its passphrase, a
// line from a file descriptor.
func readPrivateKey(path string, descriptor int) (*approval.PrivateKey, error) {
	const maxBytes = 1 << 16
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := secret.Read(f, maxBytes)
	if err != nil {
		return nil, inputError("", "%s: %w", path, err)
	}
	defer text.Zero()
	key, err := approval.ParsePrivateKey(text.Expose(), nil)
	switch {
	case errors.Is(err, approval.ErrPassphrase) && descriptor < 0:
		return nil, inputError("--passphrase-fd=N reads it", "%s: %w", path, err)
	case errors.Is(err, approval.ErrPassphrase):
		passphrase, err := protector.ReadPassphrase(descriptor)
		if err != nil {
			return nil, inputError("", "--passphrase-fd=%d: %w", descriptor, err)
		}
		defer passphrase.Zero()
		if key, err = approval.ParsePrivateKey(text.Expose(), passphrase.Expose()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// signChange signs what it shows.
func (a *app) signChange(c *policy.Change, key *approval.PrivateKey, out string) error {
	statement := c.Statement()
	if !a.quiet {
		a.console.printf("%s", statement)
	}
	a.tellChange(c)
	if name := keyOwner(c, key.Public()); name == "" {
		a.log.Warn("the key is no owner's, so its signature does not count", "key", key.Public().Fingerprint())
	}
	signature, err := key.Sign(rand.Reader, approval.ForPolicy, statement)
	if err != nil {
		return err
	}
	text, err := signature.MarshalText()
	if err != nil {
		return err
	}
	o, err := a.createOutput(out)
	if err != nil {
		return err
	}
	defer o.abort()
	if _, err := o.Write(text); err != nil {
		return err
	}
	return o.commit()
}

// keyOwner is whose key it is, in either version.
func keyOwner(c *policy.Change, key approval.PublicKey) policy.Name {
	for _, p := range []*policy.Policy{c.Old, c.New} {
		if p == nil {
			continue
		}
		if name := p.OwnerOf(key); name != "" {
			return name
		}
	}
	return ""
}

const policyCheckLong = `Check a policy: that it can be read, follows the one before, and has the
signatures that the change needs. With one file and no signature only the file is
checked. The exit code is 3 if signatures are missing.

A signature is a file that "cloister broker policy sign" or "ssh-keygen -Y sign"
wrote.`

// checkedChange is what "cloister broker policy check --json" prints.
type checkedChange struct {
	Hash     policy.Hash      `json:"hash"`
	Complete bool             `json:"complete"`
	Approval *policy.Approval `json:"approval"`
	Waits    string           `json:"waits"`
	Destroys []policy.Name    `json:"destroys_keys_of,omitempty"`
}

func (a *app) newPolicyCheckCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:     "check [OLD] NEW",
		Short:   "Check a policy, and whether a change has its signatures",
		Long:    policyCheckLong,
		Example: "  cloister broker policy check old.yaml new.yaml -s hospital-a.sig -s hospital-b.sig",
		Args:    policyFiles(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && len(files) == 0 {
				return a.checkPolicy(args[0])
			}
			c, err := a.readChange(args)
			if err != nil {
				return err
			}
			return a.checkChange(c, files)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "signature", "s", nil, "a signature in `FILE`; once for each")
	return cmd
}

func (a *app) checkPolicy(path string) error {
	p, err := a.readPolicy(path)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"hash": p.Hash(), "broker": p.Broker, "version": p.Version})
	}
	return a.print(fmt.Sprintf("version %d for broker %s, %s: %s, %s\n", p.Version, p.Broker, p.Hash(),
		counted(len(p.Owners), "owner", "owners"), counted(len(p.Workloads), "workload", "workloads")))
}

func (a *app) checkChange(c *policy.Change, files []string) error {
	var signatures []*approval.Signature
	for _, path := range files {
		const maxBytes = 1 << 16
		text, err := a.readSmall(path, maxBytes)
		if err != nil {
			return err
		}
		s, err := approval.ParseSignature(text)
		if err != nil {
			return fmt.Errorf("%s: %w", inputName(path), err)
		}
		if err := s.Verify(approval.ForPolicy, c.Statement()); err != nil {
			return fmt.Errorf("%s: %w", inputName(path), err)
		}
		if keyOwner(c, s.Key()) == "" {
			a.log.Warn("the signature is of no owner's key and does not count", "file", inputName(path), "key", s.Key().Fingerprint())
		}
		signatures = append(signatures, s)
	}
	got := c.Check(signatures, nil)
	var refused error
	if !got.Complete() {
		refused = fmt.Errorf("%w: the change lacks signatures: %s", policy.ErrRefused, strings.Join(got.Missing, "; "))
	}
	if a.json {
		out := checkedChange{Hash: c.New.Hash(), Complete: refused == nil, Approval: got, Waits: c.Waits().String(), Destroys: c.Destroys()}
		if err := a.printJSON(out); err != nil {
			return err
		}
		if refused != nil {
			return &Error{Code: ExitRefused, Err: refused, Shown: true}
		}
		return nil
	}
	if refused != nil {
		return refused
	}
	text := fmt.Sprintf("version %d, %s, is approved by %s\n", c.New.Version, c.New.Hash(), joinNames(got.Approved))
	if w := c.Waits(); w > 0 {
		text += fmt.Sprintf("it takes effect %s after its last signature\n", w.Truncate(time.Second))
	}
	for _, gone := range c.Destroys() {
		text += fmt.Sprintf("%s leaves: all of its keys are destroyed\n", gone)
	}
	return a.print(text)
}
