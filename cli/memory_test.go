package cli

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// fakeLimits is a machine whose files are given.
func fakeLimits(goLimit int64, files map[string]string) memoryLimits {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return memoryLimits{
		files:   root,
		goLimit: func() int64 { return goLimit },
		held:    func() (all, idle int64) { return 50, 20 },
	}
}

func TestAvailableMemory(t *testing.T) {
	t.Parallel()
	const (
		meminfo = "MemTotal:       8 kB\nMemFree:        2 kB\nMemAvailable:   4 kB\n"
		group   = "the control group's limit"
	)
	for name, c := range map[string]struct {
		goLimit int64
		files   map[string]string
		want    int64
		bound   string
	}{
		"nothing known": {math.MaxInt64, nil, unlimited, ""},
		"GOMEMLIMIT":    {1000, nil, 1000 - 50 + 20, "GOMEMLIMIT"},
		"used up":       {10, nil, 0, "GOMEMLIMIT"},
		"machine":       {math.MaxInt64, map[string]string{"proc/meminfo": meminfo}, 4*1024 + 20, "of the machine"},
		"the least": {1 << 40, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "300\n",
			"sys/fs/cgroup/memory.stat": "anon 100\nfile 200\ninactive_file 70\nactive_file 30\n",
		}, 1000 - 300 + 100 + 20, group},
		"no limit": {math.MaxInt64, map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "300\n",
		}, unlimited, ""},
		"a group around": {math.MaxInt64, map[string]string{
			"proc/self/cgroup":                 "1:name=systemd:/x\n0::/pod/app\n",
			"sys/fs/cgroup/pod/app/memory.max": "max\n", "sys/fs/cgroup/pod/app/memory.current": "10\n",
			"sys/fs/cgroup/pod/memory.max": "500\n", "sys/fs/cgroup/pod/memory.current": "100\n",
		}, 500 - 100 + 20, group},
		"version 1": {math.MaxInt64, map[string]string{
			"proc/self/cgroup":                                  "9:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":        "900\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":        "400\n",
			"sys/fs/cgroup/memory/memory.stat":                  "cache 9\ninactive_file 100\n",
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/docker/memory.usage_in_bytes": "1\n",
		}, 900 - 400 + 100 + 20, group},
		"nonsense": {math.MaxInt64, map[string]string{
			"proc/meminfo": "MemAvailable:\nMemAvailable: x\n", "proc/self/cgroup": "0::/\nnothing\n", "sys/fs/cgroup/memory.max": "",
		}, unlimited, ""},
		"more than a number holds": {math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "18446744073709551615\n", "sys/fs/cgroup/memory.current": "1\n",
		}, unlimited, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, bound := fakeLimits(c.goLimit, c.files).available()
			if got != c.want || bound != c.bound {
				t.Errorf("%d (%s), want %d (%s)", got, bound, c.want, c.bound)
			}
		})
	}
}

func TestMachineHasMemory(t *testing.T) {
	t.Parallel()
	if n, bound := machineLimits().available(); n < 1<<20 {
		t.Errorf("%d bytes are available (%s)", n, bound)
	}
}

func TestCollectEarlier(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ goLimit, available, want int64 }{
		"a limit":          {math.MaxInt64, 1000, 30 + 950},
		"GOMEMLIMIT":       {5000, 1000, 0},
		"nothing is known": {math.MaxInt64, unlimited, 0},
	} {
		set := int64(0)
		l := fakeLimits(c.goLimit, nil)
		l.setLimit = func(all int64) { set = all }
		if l.collectEarlier(c.available); set != c.want {
			t.Errorf("%s: limit %d, want %d", name, set, c.want)
		}
	}
}

// TestMemoryCheckOfRefit refits where there is too little memory for the leaves
// of every row in every tree.
func TestMemoryCheckOfRefit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var small, large strings.Builder
	for i := range 40_100 {
		to := &large
		if i < 100 {
			to = &small
		}
		fmt.Fprintf(to, "%d,%d,%d\n", i%2, i%89, i*31%97)
	}
	for name, text := range map[string]string{"small.csv": small.String(), "large.csv": large.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(limit int64, args ...string) (int, string) {
		var out, errs bytes.Buffer
		a := newApp(strings.NewReader(""), &out, &errs)
		a.limits = fakeLimits(limit, nil)
		common := []string{"train", "objective=binary", "num_threads=1", "min_data_in_leaf=5", "bin_construct_sample_cnt=1000"}
		code := a.run(context.Background(), append(common, args...))
		return code, strings.ReplaceAll(errs.String(), dir+"/", "")
	}
	old, refitted := filepath.Join(dir, "old.txt"), filepath.Join(dir, "new.txt")
	if code, text := run(1<<30, "data="+dir+"/small.csv", "num_iterations=1000", "output_model="+old); code != ExitDone {
		t.Fatalf("code %d\n%s", code, text)
	}
	args := []string{"task=refit", "data=" + dir + "/large.csv", "input_model=" + old, "output_model=" + refitted}
	code, text := run(40<<20, args...)
	for _, want := range []string{
		"cloister: error: refitting to 40000 rows × 2 features needs about 5",
		" MB more memory, but 41.9 MB are available (GOMEMLIMIT)\n",
		"hint: give it more memory, or take fewer rows or a model of fewer trees; memory_check=warn goes on regardless\n",
	} {
		if code != ExitInput || !strings.Contains(text, want) {
			t.Errorf("code %d, want %d; want %q in\n%s", code, ExitInput, want, text)
		}
	}
	if code, text := run(1<<30, args...); code != ExitDone {
		t.Errorf("code %d where there is enough memory\n%s", code, text)
	}
}

// TestMemoryCheck trains where there is too little memory, as far as anyone
// knows.
func TestMemoryCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var csv, svm strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&csv, "%d", i%2)
		fmt.Fprintf(&svm, "%d", i%2)
		for f := range 40 {
			fmt.Fprintf(&csv, ",%d", (i*31+f*17)%1000)
			if (i+f)%20 == 0 {
				fmt.Fprintf(&svm, " %d:%d", f, i%100)
			}
		}
		csv.WriteByte('\n')
		svm.WriteByte('\n')
	}
	for name, text := range map[string]string{"t.csv": csv.String(), "t.svm": svm.String(), "v.csv": strings.Repeat(csv.String(), 3)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Room for the sample of the small sets, but not for a deep forest of trees.
	const deep = "num_leaves=20000"
	const enough = " num_iterations=1 "
	for name, c := range map[string]struct {
		args  string
		limit int64
		code  int
		want  string
	}{
		"a sample too large": {
			"data=t.csv", 8 << 20, ExitInput,
			"cloister: error: t.csv: drawing a sample from about 29996 rows × 40 features needs about 19.2 MB more memory, but 8.4 MB are available (GOMEMLIMIT)",
		},
		"trees too many": {
			"data=t.csv bin_construct_sample_cnt=1000 num_iterations=100000 min_data_in_leaf=1 " + deep, 200 << 20, ExitInput,
			"cloister: error: training on 30000 rows × 40 features needs about ",
		},
		"LibSVM": {
			"data=t.svm num_iterations=100000 min_data_in_leaf=1 " + deep, 200 << 20, ExitInput,
			"cloister: error: training on 30000 rows × 40 features needs about ",
		},
		"a validation set too many": {
			"data=t.csv bin_construct_sample_cnt=1000 valid=v.csv" + enough, 16 << 20, ExitInput,
			"v.csv: training and validating on 90000 rows × 40 features more needs about 2",
		},
		"on regardless": {
			"data=t.csv memory_check=warn" + enough, 9 << 20, ExitDone,
			"warn  t.csv: drawing a sample from about 29996 rows × 40 features needs about 19.2 MB more memory, but 9.4 MB are available (GOMEMLIMIT)",
		},
		"enough": {"data=t.csv" + enough, 1 << 30, ExitDone, "wrote the model"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			a := newApp(strings.NewReader(""), &out, &errs)
			a.limits = fakeLimits(c.limit, nil)
			args := []string{"train", "objective=binary", "num_threads=2", "output_model=" + filepath.Join(t.TempDir(), "m.txt")}
			for _, arg := range strings.Fields(c.args) {
				args = append(args, strings.NewReplacer("=t.", "="+dir+"/t.", "=v.", "="+dir+"/v.").Replace(arg))
			}
			code := a.run(context.Background(), args)
			text := strings.ReplaceAll(errs.String(), dir+"/", "")
			if code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("code %d, want %d; want %q in\n%s", code, c.code, c.want, text)
			}
			if c.code == ExitInput && !strings.Contains(text, "memory_check=warn goes on regardless") {
				t.Errorf("no hint in\n%s", text)
			}
		})
	}
}
