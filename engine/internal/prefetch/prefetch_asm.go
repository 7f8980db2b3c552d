//go:build amd64 || arm64

package prefetch

// stride asks for the lines at base + rows[i]*size.
//
//go:noescape
func stride(base, size uintptr, rows *uint32, n int)
