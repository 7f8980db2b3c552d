package broker

import (
	_ "embed"
	"net/http"
)

// PathOpenAPI is where the broker describes its API.
const PathOpenAPI = "/v1/openapi.yaml"

//go:embed openapi.yaml
var openAPI []byte

func (s *Server) handleOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(openAPI) //nolint:errcheck // the peer may be gone
}
