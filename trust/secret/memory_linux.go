package secret

import "golang.org/x/sys/unix"

// lockedRegion returns pages that are not swapped out and not dumped, as far as
// the system allows it: the limit of locked memory may be small, and Gramine
// knows the calls but has nothing to do for them.
func lockedRegion(size int) ([]byte, error) {
	region, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	if err := unix.Mlock(region); err != nil {
		unix.Munmap(region) //nolint:errcheck // nothing is in it
		return nil, err
	}
	unix.Madvise(region, unix.MADV_DONTDUMP) //nolint:errcheck // a courtesy: NoDumps is what counts
	unix.Madvise(region, unix.MADV_DONTFORK) //nolint:errcheck // as above
	return region, nil
}

// NoDumps keeps the whole process out of core dumps and out of the reach of
// debuggers of the same user, where the system knows how.
func NoDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
