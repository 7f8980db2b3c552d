package cli

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"cloister/trust/attest/platforms"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
)

// collateralOptions are the flags of every command that verifies evidence.
type collateralOptions struct {
	collateral []string
	at         string
	// grace is how long after its end collateral is still used; not every command
	// has a flag of it.
	grace time.Duration
}

func (o *collateralOptions) flags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.collateral, "collateral", []string{collateralCarried}, "take collateral from `SOURCE`: carried, online, an https address or a directory")
	flags.StringVar(&o.at, "at", "", "verify as of `TIME`, such as 2026-01-31T12:00:00Z or seconds since 1970")
}

// verifyTime reads --at; empty is now.
func verifyTime(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, inputError("give a time such as 2026-01-31T12:00:00Z, or seconds since 1970", "--at: %q is no time", text)
	}
	return t, nil
}

// The sources of --collateral that have names.
const (
	collateralCarried = "carried"
	collateralOnline  = "online"
)

func isAddress(source string) bool { return strings.Contains(source, "://") }

// each calls one of its arguments for each source, in the order of the flags: what
// the evidence carries, a directory, or the address of a service, which is online
// for the maker's own.
func (o *collateralOptions) each(online string, carried func(), directory func(path string), service func(address string) error) error {
	for _, name := range o.collateral {
		var err error
		switch {
		case name == collateralCarried:
			carried()
		case name == collateralOnline:
			err = service(online)
		case isAddress(name):
			err = service(name)
		default:
			if err := isDirectory(name); err != nil {
				return err
			}
			directory(name)
		}
		if err != nil {
			return inputError("", "--collateral: %w", err)
		}
	}
	return nil
}

func (o *collateralOptions) intelSource(now func() time.Time) (sgx.Source, error) {
	var sources sgx.Sources
	add := func(s sgx.Source) { sources = append(sources, s) }
	err := o.each(sgx.IntelService,
		func() { add(sgx.NewCarried()) },
		func(path string) { add(sgx.NewDirectory(path, now)) },
		func(address string) error {
			service, err := sgx.NewService(sgx.ServiceOptions{URL: address, Grace: o.grace})
			add(service)
			return err
		})
	return sources, err
}

// amdSource leaves out what is carried: a verifier of SNP takes that by itself
// where no source has a newer list.
func (o *collateralOptions) amdSource(now func() time.Time) (snp.Source, error) {
	var sources snp.Sources
	add := func(s snp.Source) { sources = append(sources, s) }
	err := o.each(snp.AMD,
		func() {},
		func(path string) { add(snp.Directory(path)) },
		func(address string) error {
			service, err := snp.NewKDS(address, nil, now)
			add(service)
			return err
		})
	return sources, err
}

func isDirectory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = errors.New("is no directory")
	}
	if err != nil {
		return inputError("give carried, online, an https address or a directory", "--collateral=%s: %w", path, err)
	}
	return nil
}

// unreachable gives an error of a source its exit code.
func (o *collateralOptions) unreachable(err error) error {
	online := false
	for _, name := range o.collateral {
		online = online || name == collateralOnline || isAddress(name)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case platforms.IsNoCollateral(err):
		return inputError("name one that has it, such as --collateral=online", "no source of collateral has what is needed: %w", err)
	case online:
		return &Error{Code: ExitNetwork, Err: err, Hint: "check the address and the network; --collateral=DIRECTORY needs none"}
	}
	return err
}
