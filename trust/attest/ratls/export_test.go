package ratls

// FromX509 is fuzzed without the rest of a certificate.
var FromX509 = fromX509
