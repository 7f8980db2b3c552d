package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/broker"
)

const brokerGetLong = `Show evidence of this program to a broker and get the keys and secrets that the
broker's policy grants it. A key is named OWNER/NAME@VERSION, a secret OWNER/NAME.

What is measured is this program, cloister itself. The pin says which broker is
trusted: in a trusted execution environment it must be among the measured files,
and never come from the environment or a name.

A person whom the policy names under unseal gets a key outside of any trusted
execution environment, with the private key of the certificate that the policy
has (--client-key) instead of evidence. That is in the audit log as well.

What was released goes to a file that only its owner can read, into a directory,
one file for each (OWNER.NAME.VERSION), or to a descriptor.`

const brokerGetExample = `  cloister broker get hospital-a/wards@1 --pin clinics.pin --job sha256:5a5a… -o wards.key
  cloister broker get hospital-a/wards@1 hospital-a/password --pin clinics.pin --output-dir keys
  cloister broker get hospital-a/password --pin clinics.pin --output-fd 3 3>password
  cloister broker get hospital-a/wards@1 --client-key me.key --pin clinics.pin -o wards.key`

// brokerGet are the flags of "cloister broker get".
type brokerGet struct {
	broker     brokerFlags
	job        string
	platform   string
	keys       string
	output     string
	directory  string
	descriptor int
	clientKey  string // of the person who asks, if no program does
}

func (a *app) newBrokerGetCommand() *cobra.Command {
	opt := &brokerGet{}
	cmd := &cobra.Command{
		Use:     "get OWNER/NAME@VERSION… --pin FILE",
		Short:   "Show evidence and get keys",
		Long:    brokerGetLong,
		Example: brokerGetExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputError("a key is OWNER/NAME@VERSION, a secret OWNER/NAME", "nothing is asked for")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.brokerGet(cmd.Context(), opt, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.broker.pin, "pin", "", "the broker that \"cloister broker owner attest\" kept in `FILE`")
	flags.StringVar(&opt.broker.address, "address", "", "look for the broker at `HOST:PORT` instead of where it was attested")
	flags.StringVar(&opt.broker.seen, "seen", "", "refuse a broker whose audit log does not go on from the newest checkpoint that was seen, and keep that in `FILE`")
	opt.broker.attemptsFlag(cmd)
	flags.StringVar(&opt.job, "job", "", "the `HASH` of the job that is run; none unless given")
	flags.StringVar(&opt.platform, "platform", "", "make evidence of `PLATFORM`: sgx, tdx, snp or insecure-none, instead of finding out")
	flags.StringVar(&opt.keys, "insecure-key-dir", "", "keep insecure-none's machine key in `DIR` instead of the user's configuration directory")
	flags.StringVarP(&opt.output, "output", "o", "", "write the one key to `FILE`; - is standard output")
	flags.StringVar(&opt.directory, "output-dir", "", "write each key to a file of its own in `DIR`")
	flags.IntVar(&opt.descriptor, "output-fd", -1, "write the one key to file descriptor `N`")
	flags.StringVar(&opt.clientKey, "client-key", "", "ask as the person whom the policy names under unseal, by the private key in `FILE`")
	cmd.MarkFlagsMutuallyExclusive("client-key", "job")
	cmd.MarkFlagsMutuallyExclusive("output", "output-dir", "output-fd")
	cmd.MarkFlagsOneRequired("output", "output-dir", "output-fd")
	if err := cmd.MarkFlagRequired("pin"); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

// wants reads what is asked for.
func wantsOf(args []string) ([]broker.Want, error) {
	var all []broker.Want
	for _, arg := range args {
		if !strings.Contains(arg, "@") {
			item, err := itemOf(arg)
			if err != nil {
				return nil, err
			}
			all = append(all, broker.Want{Kind: broker.Secret, Owner: string(item.Owner()), Name: string(item.Name())})
			continue
		}
		item, version, err := versionOf(arg)
		if err != nil {
			return nil, err
		}
		all = append(all, broker.Want{Kind: broker.Key, Owner: string(item.Owner()), Name: string(item.Name()), Version: version})
	}
	return all, nil
}

// gotKeys is what "cloister broker get --json" prints. It holds no key.
type gotKeys struct {
	Request  string         `json:"request"`
	Workload string         `json:"workload,omitempty"`
	Person   string         `json:"person,omitempty"`
	Run      uint64         `json:"run,omitempty"`
	Items    []broker.Item  `json:"items"`
	Files    []string       `json:"files,omitempty"`
	Receipt  broker.Receipt `json:"receipt"`
}

func (a *app) brokerGet(ctx context.Context, opt *brokerGet, args []string) error {
	want, err := wantsOf(args)
	if err != nil {
		return err
	}
	if len(want) > 1 && opt.directory == "" {
		return inputError("--output-dir=DIR takes several", "%d keys do not go into one file", len(want))
	}
	if opt.output == "-" && a.json {
		return inputError("", "--output=- and --json both want standard output")
	}
	var job broker.Digest
	if opt.job != "" {
		if job, err = jobOf(opt.job); err != nil {
			return err
		}
	}
	known, err := opt.broker.known(a)
	if err != nil {
		return err
	}
	if opt.clientKey != "" {
		return a.unseal(ctx, opt, known, want)
	}
	producer, err := a.ownProducer(opt.platform, opt.keys)
	if err != nil {
		return err
	}
	o, err := opt.options(a, known)
	if err != nil {
		return err
	}
	client, err := broker.NewClient(o)
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := client.Release(ctx, producer, job, want)
	if err != nil {
		return err
	}
	defer r.Zero()
	if err := opt.keepSeen(a, o.Seen); err != nil {
		return err
	}
	return a.writeReleased(opt, r.Items, &gotKeys{Request: r.Request, Workload: r.Workload, Run: r.Run, Receipt: r.Receipt})
}

// options are those of the client, with the last checkpoint that was seen if one
// is kept.
func (o *brokerGet) options(a *app, known *broker.Known) (broker.ClientOptions, error) {
	c := o.broker.options(known)
	if o.broker.seen == "" {
		return c, nil
	}
	var err error
	c.Seen, err = a.readSeen(&o.broker, known)
	return c, err
}

func (o *brokerGet) keepSeen(a *app, seen *broker.Seen) error {
	if seen == nil {
		return nil
	}
	return a.writeSeen(&o.broker, seen)
}

// unseal asks as a person.
func (a *app) unseal(ctx context.Context, opt *brokerGet, known *broker.Known, want []broker.Want) error {
	if len(want) != 1 || want[0].Kind != broker.Key {
		return inputError("", "a person gets one key at a time, OWNER/NAME@VERSION")
	}
	certificate, err := clientCertificate(opt.clientKey)
	if err != nil {
		return err
	}
	o, err := opt.options(a, known)
	if err != nil {
		return err
	}
	o.Certificates = []tls.Certificate{*certificate}
	client, err := broker.NewClient(o)
	if err != nil {
		return err
	}
	defer client.Close()
	item, answer, err := client.Unseal(ctx, want[0].Owner, want[0].Name, want[0].Version)
	if err != nil {
		return err
	}
	defer item.Key.Zero()
	if err := opt.keepSeen(a, o.Seen); err != nil {
		return err
	}
	return a.writeReleased(opt, []broker.Released{*item}, &gotKeys{Request: answer.Request, Person: answer.Person, Receipt: answer.Receipt})
}

func (a *app) writeReleased(opt *brokerGet, items []broker.Released, got *gotKeys) error {
	for _, item := range items {
		got.Items = append(got.Items, item.Item)
		file, err := opt.write(a, &item)
		if err != nil {
			return err
		}
		if file != "" {
			got.Files = append(got.Files, file)
		}
	}
	if a.json {
		return a.printJSON(got)
	}
	a.log.Info("released", "to", got.Workload+got.Person, "request", got.Request, "entry", got.Receipt.Index)
	return nil
}

// ownProducer makes evidence of this program.
func (a *app) ownProducer(named, keyDirectory string) (attest.Producer, error) {
	keys, err := machineKeyDirectory(keyDirectory)
	if err != nil {
		return nil, err
	}
	system := platforms.ThisSystem(keys)
	var platform attest.Platform
	if named != "" {
		if platform, err = attest.ParsePlatform(named); err != nil {
			return nil, inputError("", "--platform: %w", err)
		}
	} else {
		found, err := system.Detect()
		if err != nil {
			return nil, err
		}
		platform = found.Platform
	}
	return system.NewProducer(platform)
}

// write writes a key to where it was asked for.
func (o *brokerGet) write(a *app, item *broker.Released) (file string, err error) {
	switch {
	case o.descriptor >= 0:
		f := os.NewFile(uintptr(o.descriptor), "output")
		if f == nil {
			return "", inputError("", "--output-fd=%d is no open file", o.descriptor)
		}
		if _, err := f.Write(item.Key.Expose()); err != nil {
			return "", fmt.Errorf("--output-fd=%d: %w", o.descriptor, err)
		}
		return "", f.Close()
	case o.output == "-":
		_, err := a.stdout.Write(item.Key.Expose())
		if err != nil {
			err = &stdoutError{err}
		}
		return "", err
	case o.output != "":
		return o.output, writePrivate(o.output, item.Key.Expose())
	}
	if err := os.MkdirAll(o.directory, 0o700); err != nil {
		return "", err
	}
	file = filepath.Join(o.directory, fmt.Sprintf("%s.%s.%d", item.Owner, item.Name, item.Version))
	return file, writePrivate(file, item.Key.Expose())
}
