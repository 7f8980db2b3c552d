// Package likegramine has tests run where flock, links and shared file mappings
// return ENOSYS, as under Gramine: a seccomp filter (seccomp(2)) takes these system
// calls from the process.
package likegramine
