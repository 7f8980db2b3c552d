package broker

import (
	"crypto/tls"
	"testing"
)

// TestHTTP1 offers HTTP/2, which is not spoken.
func TestHTTP1(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	for want, offered := range map[string][]string{"http/1.1": {"h2", "http/1.1"}, "": nil} {
		config := f.pin.clientTLS(nil)
		config.NextProtos = offered
		c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("of %v the broker takes %q, want %q", offered, got, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
