package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Set by the linker in a release: -X cloister/cli.version=1.2.3.
var (
	version = ""
	commit  = ""
)

// versionInfo is what "cloister version --json" prints.
type versionInfo struct {
	Version    string            `json:"version"`
	Commit     string            `json:"commit"`
	Modified   bool              `json:"modified"`
	Go         string            `json:"go"`
	Platform   string            `json:"platform"`
	BuildFlags map[string]string `json:"build_flags"`
	flags      []string          // BuildFlags in the order of the build
}

func (a *app) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print version, commit, Go version and build flags",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			info := readVersion()
			if a.json {
				return a.printJSON(info)
			}
			return a.print(info.String())
		},
	}
}

func readVersion() versionInfo {
	info := versionInfo{
		Version:    version,
		Commit:     commit,
		Go:         runtime.Version(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
		BuildFlags: make(map[string]string),
	}
	build, ok := debug.ReadBuildInfo()
	if ok {
		info.addBuild(build)
	}
	if info.Version == "" {
		info.Version = "development"
	}
	if info.Commit == "" {
		info.Commit = "unknown"
	}
	return info
}

func (v *versionInfo) addBuild(build *debug.BuildInfo) {
	if v.Version == "" && build.Main.Version != "(devel)" {
		v.Version = build.Main.Version
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			if v.Commit == "" {
				v.Commit = s.Value
			}
		case s.Key == "vcs.modified":
			v.Modified = s.Value == "true"
		case strings.HasPrefix(s.Key, "vcs"):
		default:
			v.BuildFlags[s.Key] = s.Value
			v.flags = append(v.flags, s.Key+"="+quoted(s.Value))
		}
	}
}

// String is the form for people.
func (v *versionInfo) String() string {
	changed := ""
	if v.Modified {
		changed = " with changes"
	}
	return fmt.Sprintf("cloister %s\ncommit   %s%s\ngo       %s %s\nbuild    %s\n",
		v.Version, v.Commit, changed, v.Go, v.Platform, strings.Join(v.flags, " "))
}
