// Package broker is the key broker: it appraises what programs show of
// themselves (RFC 9334) and releases owners' keys to those that the policy
// names.
//
// # A release
//
// A program makes an HPKE key pair, asks for a nonce for that key, and shows
// evidence whose report data bind nonce, key and job (attest.Binding). The
// broker takes the nonce, which then is used up, verifies the evidence, and has
// the policy decide. One transaction of the store then holds the count of runs
// and the decision's line in the audit log; the keys leave once a checkpoint
// that contains this line is co-signed (audit.Log.Wait), each encrypted to the
// key that the evidence binds (RFC 9180, with the hybrid of X25519 and
// ML-KEM-768). A refusal has a line too, and its reasons are in the answer.
//
// # Who is trusted
//
// A client knows a broker by the hash of its TLS key and of its first policy
// (Pin), never by name or address. Nonces are kept in memory, so that a broker
// which starts again knows none of before. Over the network there is TLS 1.3
// alone, without resumption.
package broker
