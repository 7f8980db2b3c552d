// Package fetch has what every source of collateral demands of a service that it
// asks: HTTPS all the way, and an address without secrets, since errors show it.
package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Address reads the address of a service, to which paths are added. No error has
// the address: it may have a password.
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https":
		return nil, errors.New("it has to be https://HOST or https://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("it has to be without a user or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("it has to be without a query or fragment")
	}
	return u, nil
}

// Client returns a copy of a client, or of one without settings if it is nil, that
// follows redirections to https alone.
func Client(c *http.Client) *http.Client {
	client := http.Client{}
	if c != nil {
		client = *c
	}
	inner := client.CheckRedirect
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		switch {
		case r.URL.Scheme != "https":
			return fmt.Errorf("redirected to %s, which is not https", r.URL.Redacted())
		case inner != nil:
			return inner(r, via)
		case len(via) >= 5:
			return errors.New("redirected too often")
		}
		return nil
	}
	return &client
}
