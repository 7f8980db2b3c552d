package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
	"cloister/trust/broker/witness"
	"cloister/trust/secret"
)

const brokerWitnessLong = `A witness co-signs the checkpoints of a broker's audit log, after it has proven that
each goes on from the last. Owners run witnesses; a broker's releases take effect
only after more than half of them have co-signed, so that a copy of its store, or
an older one, cannot repeat what was done. Use an odd number of witnesses, each on
a machine of another owner.

It is the witness of C2SP tlog-witness and can serve other logs as well.`

func (a *app) newBrokerWitnessCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "Co-sign a broker's audit log",
		Long:  brokerWitnessLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newWitnessKeygenCommand(), a.newWitnessServeCommand(), a.newWitnessResetCommand())
	return cmd
}

// The files in a witness's directory.
const (
	witnessKey   = "key"
	witnessState = "state"
)

// witnessFlags are those of the commands about a witness.
type witnessFlags struct {
	dir, key, name    string
	logs              []string
	listen, operation string
	checkpoint        string
	acceptLoss        bool
}

func (f *witnessFlags) keyFile() string {
	if f.key != "" {
		return f.key
	}
	return filepath.Join(f.dir, witnessKey)
}

func (a *app) newWitnessKeygenCommand() *cobra.Command {
	f := &witnessFlags{}
	cmd := &cobra.Command{
		Use:   "keygen --dir DIR --name NAME",
		Short: "Make a witness: its key and its empty state",
		Long: `Make a witness in DIR: its private key, in a file that its owner alone may read, and
its state, which is empty. It prints the verifier key, which goes into the
broker's policy.

A witness without its state must not go on: it would co-sign what it has co-signed
otherwise before. So the state is made here and never by "serve".`,
		Example: "  cloister broker witness keygen --dir /var/lib/cloister-witness --name hospital-a.example/witness",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.witnessKeygen(f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "make the witness in `DIR`")
	flags.StringVar(&f.name, "name", "", "the witness's `NAME` in its signatures, such as hospital-a.example/witness")
	flags.StringVar(&f.key, "key", "", "write the private key to `FILE` and not to DIR/key")
	return cmd
}

// witnessMade is what "cloister broker witness keygen --json" prints.
type witnessMade struct {
	Name string `json:"name"`
	Key  string `json:"key"` // the verifier key
	File string `json:"file"`
}

func (a *app) witnessKeygen(f *witnessFlags) error {
	if f.dir == "" || f.name == "" {
		return inputError("", "--dir and --name are needed")
	}
	private, public, err := witness.GenerateKey(rand.Reader, f.name)
	if err != nil {
		return inputError("", "%w", err)
	}
	state := filepath.Join(f.dir, witnessState)
	if _, err := os.Lstat(state); !errors.Is(err, fs.ErrNotExist) {
		return inputError("a second key for the same state would be another witness: make it in another directory", "%s is there already", state)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	if err := writeKeyFile(f.keyFile(), private+"\n"); err != nil {
		return err
	}
	st, err := store.Open(state, store.Options{Create: true, Logger: a.log})
	if err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(&witnessMade{f.name, public, f.keyFile()})
	}
	return a.print(public + "\n")
}

func (a *app) newWitnessServeCommand() *cobra.Command {
	f := &witnessFlags{}
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --log KEY",
		Short: "Run a witness",
		Long: `Run the witness in DIR, until it is interrupted. --log is the verifier key of the
broker's audit log, which the broker prints when it is ready; owners compare it
among each other. Other logs are not co-signed.

It serves TLS 1.3 with a certificate of the witness's own key, by which the broker
knows it.`,
		Example: "  cloister broker witness serve --dir /var/lib/cloister-witness --log 'cloister-broker/clinics+1b2c3d4e+AbC…' --listen :7445",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.witnessServe(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	f.shared(cmd)
	flags.StringVar(&f.listen, "listen", "127.0.0.1:7445", "serve at `ADDRESS`")
	flags.StringVar(&f.operation, "operation", "", "serve /healthz, /readyz and /metrics at `ADDRESS`, without TLS")
	return cmd
}

func (f *witnessFlags) shared(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "the witness is in `DIR`")
	flags.StringVar(&f.key, "key", "", "its private key is in `FILE` and not in DIR/key")
	flags.StringArrayVar(&f.logs, "log", nil, "co-sign the log with the verifier key `KEY`; once for each")
}

// witnessReady is what "cloister broker witness serve --json" prints when it
// serves.
type witnessReady struct {
	Key       string   `json:"key"`
	Logs      []string `json:"logs"`
	Address   string   `json:"address"`
	Operation string   `json:"operation,omitempty"`
}

// openWitness opens a witness. The caller closes its state.
func (a *app) openWitness(f *witnessFlags) (*witness.Witness, *witness.Signer, *store.Store, error) {
	if f.dir == "" || len(f.logs) == 0 {
		return nil, nil, nil, inputError(`"cloister broker witness keygen" makes a witness; a broker prints its log's key`, "--dir and --log are needed")
	}
	var logs []note.Verifier
	for _, text := range f.logs {
		key, err := note.NewVerifier(text)
		if err != nil {
			return nil, nil, nil, inputError("", "--log %.120q is no verifier key: %w", text, err)
		}
		logs = append(logs, key)
	}
	private, err := readKeyFile(f.keyFile())
	if err != nil {
		return nil, nil, nil, err
	}
	defer private.Zero()
	signer, err := witness.NewSigner(string(private.Expose()), time.Now)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", f.keyFile(), err)
	}
	st, err := store.Open(filepath.Join(f.dir, witnessState), store.Options{Logger: a.log})
	if errors.Is(err, store.ErrNotFound) {
		err = inputError("a witness that forgot what it co-signed must not go on: put its state back, or replace it in the policy", "%w", err)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	w, err := witness.New(st, signer, logs, a.log)
	if err != nil {
		return nil, nil, nil, errors.Join(err, st.Close())
	}
	return w, signer, st, nil
}

func (a *app) witnessServe(ctx context.Context, f *witnessFlags) (err error) {
	if err := secret.NoDumps(); err != nil {
		a.log.Debug("core dumps cannot be turned off here", "error", err)
	}
	w, signer, st, err := a.openWitness(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	limits := witness.DefaultLimits()
	a.grace.Store(int64(limits.Grace + 5*time.Second))
	s := witness.NewServer(w, limits, a.log)
	ready := &witnessReady{Key: signer.String(), Logs: w.Origins()}
	ports := []port{{f.listen, &ready.Address, s.Serve}}
	if f.operation != "" {
		ports = append(ports, port{f.operation, &ready.Operation, s.ServeOperation})
	}
	return servePorts(ctx, ports, func() error {
		a.log.Info("the witness serves", "key", ready.Key, "address", ready.Address, "logs", fmt.Sprint(ready.Logs))
		if a.json {
			return a.printJSON(ready)
		}
		return nil
	}, w.Alive)
}

func (a *app) newWitnessResetCommand() *cobra.Command {
	f := &witnessFlags{}
	cmd := &cobra.Command{
		Use:   "reset --dir DIR --log KEY --checkpoint FILE --accept-loss",
		Short: "Have a stopped witness go back to an earlier checkpoint",
		Long: `Make an earlier checkpoint of a log the latest that the witness in DIR, which does
not run, has co-signed.

It is needed after a broker was restored from a backup that is older than what the
witnesses saw: they would refuse it for ever, as they should. The owner of the
witness thereby accepts that what the log had after the checkpoint is lost: keys
made, runs counted, jobs revoked. "cloister broker restore" leaves the checkpoint in
DIR/restored-checkpoint. The one that is replaced is printed; keep it.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.witnessReset(cmd.Context(), f) },
	}
	f.shared(cmd)
	cmd.Flags().StringVar(&f.checkpoint, "checkpoint", "", "the checkpoint in `FILE` becomes the latest")
	cmd.Flags().BoolVar(&f.acceptLoss, "accept-loss", false, "accept that what came after it is lost")
	return cmd
}

func (a *app) witnessReset(ctx context.Context, f *witnessFlags) (err error) {
	if f.checkpoint == "" || !f.acceptLoss {
		return inputError("", "--checkpoint and --accept-loss are needed")
	}
	signed, err := a.readSmall(f.checkpoint, audit.MaxCheckpoint)
	if err != nil {
		return err
	}
	w, _, st, err := a.openWitness(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	before, err := w.Reset(ctx, signed)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"replaced": string(before), "latest": string(signed)})
	}
	return a.print(string(before))
}
