// Package brokertest runs whole brokers for tests and benchmarks: two owners, an
// administrator, an enclave of the test authority (attesttest) that shows real
// SGX quotes, witnesses that serve over TLS, and a broker on a real store that
// serves over TLS 1.3.
//
// A World has the keys of all of them and stays in the process of the test. A
// Setup is what the broker's process is given, which may be another one.
//
// These keys protect nothing. Functions panic if something cannot be made that
// depends on nothing outside, such as a key.
package brokertest
