package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// memoryLimits says how much memory there is.
type memoryLimits struct {
	// files is the machine's root directory, for /proc and /sys.
	files fs.FS
	// goLimit is GOMEMLIMIT, or the greatest number.
	goLimit func() int64
	// held is the memory that this program has from the system, and idle the part
	// of it that is free to be used again.
	held func() (all, idle int64)
	// setLimit tells the collector how much memory may be held; nil for nobody.
	setLimit func(all int64)
	// small is the need that is not worth a question.
	small int64
}

func machineLimits() memoryLimits {
	return memoryLimits{
		files:   os.DirFS("/"),
		goLimit: func() int64 { return debug.SetMemoryLimit(-1) },
		held: func() (all, idle int64) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.Sys - m.HeapReleased), int64(m.HeapIdle - m.HeapReleased)
		},
		setLimit: func(all int64) { debug.SetMemoryLimit(all) },
		small:    32 << 20,
	}
}

// unlimited is more than any machine has; control groups without a limit of
// version 1 say something like it.
const unlimited = 1 << 60

// available is the memory that this program can still take, and what bounds it;
// unlimited where nothing is known.
func (l memoryLimits) available() (bytes int64, bound string) {
	bytes = unlimited
	all, idle := l.held()
	least := func(n int64, what string) {
		if n = max(0, n+idle); n < bytes {
			bytes, bound = n, what
		}
	}
	if limit := l.goLimit(); limit < unlimited {
		least(limit-all, "GOMEMLIMIT")
	}
	if n, ok := l.number("proc/meminfo", "MemAvailable:"); ok {
		least(n*1024, "of the machine")
	}
	for _, dir := range l.groups() {
		limit, used, ok := l.group(dir)
		if ok && limit < unlimited {
			least(limit-used, "the control group's limit")
		}
	}
	return bytes, bound
}

// groups are the directories of this process's control groups for memory and of
// those around them. In a container its own group may be mounted as the root.
func (l memoryLimits) groups() []string {
	text, err := fs.ReadFile(l.files, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root := "sys/fs/cgroup"
		switch {
		case fields[0] == "0": // version 2
		case strings.Contains(","+fields[1]+",", ",memory,"): // version 1
			root = "sys/fs/cgroup/memory"
		default:
			continue
		}
		for dir := path.Clean("/" + fields[2]); ; dir = path.Dir(dir) {
			dirs = append(dirs, path.Join(root, dir))
			if dir == "/" {
				break
			}
		}
	}
	return dirs
}

// group reads the limit of a control group and what of it is used, without the
// pages of files, which give way.
func (l memoryLimits) group(dir string) (limit, used int64, ok bool) {
	limit, ok = l.number(dir+"/memory.max", "")
	name := "/memory.current"
	if !ok {
		limit, ok = l.number(dir+"/memory.limit_in_bytes", "")
		name = "/memory.usage_in_bytes"
	}
	if !ok {
		return 0, 0, false
	}
	used, ok = l.number(dir+name, "")
	for _, key := range []string{"inactive_file", "active_file"} {
		if n, found := l.number(dir+"/memory.stat", key); found {
			used -= n
		}
	}
	return limit, max(0, used), ok
}

// number reads the number of a file, or that behind a key in one of its lines.
func (l memoryLimits) number(name, key string) (int64, bool) {
	text, err := fs.ReadFile(l.files, name)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if key != "" {
			if len(fields) < 2 || fields[0] != key {
				continue
			}
			fields = fields[1:]
		}
		if len(fields) == 0 {
			return 0, false
		}
		n, err := strconv.ParseUint(fields[0], 10, 64)
		return int64(min(n, math.MaxInt64)), err == nil // not so for "max"
	}
	return 0, false
}

// parsing is about the memory that one thread takes to read a table.
const parsing = 4 << 20

// collectEarlier has the collector run before the memory is used up, unless
// GOMEMLIMIT says when.
func (l memoryLimits) collectEarlier(available int64) {
	if l.setLimit == nil || l.goLimit() < unlimited || available == unlimited {
		return
	}
	all, idle := l.held()
	l.setLimit(all - idle + available/20*19)
}

// admission asks, as a table is loaded, whether the memory that it and the
// training need is there.
func (a *app) admission(cfg *lightgbm.Config, name string, valid bool) func(dataset.Need) error {
	return func(n dataset.Need) error {
		need := n.Bytes
		about := fmt.Sprintf("training on %d rows × %d features", n.Rows, n.Features)
		switch {
		case n.Data == nil:
			about = fmt.Sprintf("%s: drawing a sample from about %d rows × %d features", name, n.Rows, n.Features)
		case valid:
			a.reserve += gbdt.ValidationMemory(cfg, n.Data)
			about = fmt.Sprintf("%s: training and validating on %d rows × %d features more", name, n.Rows, n.Features)
		case a.refits != nil:
			about = fmt.Sprintf("refitting to %d rows × %d features", n.Rows, n.Features)
			// The bins are given up before the leaves are looked up.
			a.reserve = max(0, gbdt.RefitMemory(a.refits, n.Rows)-need)
		case cfg.Task == "train":
			a.reserve = gbdt.TrainingMemory(cfg, n.Data, threadsOf(cfg))
		}
		if n.Data != nil {
			need += a.reserve
		}
		if need < a.limits.small {
			return nil
		}
		// What is being parsed, and a part for what is not yet collected.
		need += need/8 + int64(threadsOf(cfg))*parsing
		available, bound := a.limits.available()
		if need <= available {
			a.log.Debug("memory", "needed", byteSize(float64(need)), "available", byteSize(float64(available)))
			a.limits.collectEarlier(available)
			return nil
		}
		problem := fmt.Sprintf("%s needs about %s more memory, but %s are available (%s)",
			about, byteSize(float64(need)), byteSize(float64(available)), bound)
		if cfg.MemoryCheck == "warn" {
			a.log.Warn(problem)
			return nil
		}
		hint := "give it more memory, or take fewer rows or features, a smaller max_bin or num_leaves; memory_check=warn goes on regardless"
		switch {
		case n.Data == nil:
			hint = "give it more memory, or choose a smaller bin_construct_sample_cnt; memory_check=warn goes on regardless"
		case a.refits != nil:
			hint = "give it more memory, or take fewer rows or a model of fewer trees; memory_check=warn goes on regardless"
		}
		return inputError(hint, "%s", problem)
	}
}

func threadsOf(cfg *lightgbm.Config) int {
	if cfg.NumThreads > 0 {
		return cfg.NumThreads
	}
	return runtime.GOMAXPROCS(0)
}
