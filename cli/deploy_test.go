package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// deployed is where what is deployed lies.
const deployed = "../deploy"

// unitOf reads a unit of systemd: the values of each key of its [Service].
func unitOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unit, section := map[string][]string{}, ""
	for i, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%s: line %d: %q", path, i+1, line)
			}
			if section == "[Service]" {
				unit[key] = append(unit[key], value)
			}
		}
	}
	return unit
}

// checkCommandLine finds the command that a shell would run, and its flags.
func checkCommandLine(t *testing.T, text string) {
	t.Helper()
	i := strings.Index(text, "cloister broker ")
	if i < 0 {
		t.Fatalf("no command of cloister in %q", text)
	}
	words := strings.Fields(text[i+len("cloister "):])
	cmd, rest, err := NewCommand().Find(words)
	if err != nil || cmd.HasSubCommands() {
		t.Fatalf("%q is no command: %v", words, err)
	}
	var flags int
	for _, word := range rest {
		name, is := strings.CutPrefix(word, "--")
		if !is {
			continue
		}
		flags++
		name, _, _ = strings.Cut(name, "=")
		if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
		}
	}
	if flags < 3 {
		t.Errorf("%d flags in %q", flags, words)
	}
	if secret := regexp.MustCompile(`--(passphrase|vault-token|key)[ =][^ ]`); secret.MatchString(text) {
		t.Errorf("a secret in an argument: %q", text)
	}
}

func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(deployed, "systemd", "*.service"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		unit := unitOf(t, path)
		for key, want := range map[string]string{
			"Type": "notify", "DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "LimitCORE": "0",
			"CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes", "UMask": "0077", "StateDirectoryMode": "0700",
			"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "SystemCallErrorNumber": "EPERM", "WatchdogSec": "60",
		} {
			if got := unit[key]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %q, not %q", path, key, got, want)
			}
		}
		if len(unit["ExecStart"]) != 1 {
			t.Fatalf("%s: ExecStart is %q", path, unit["ExecStart"])
		}
		checkCommandLine(t, unit["ExecStart"][0])
	}
	broker := unitOf(t, paths[0])
	if !slices.Contains(broker["LoadCredential"], "passphrase:/etc/cloister/broker-passphrase") || !strings.Contains(broker["ExecStart"][0], `--passphrase-fd 3 3<"$CREDENTIALS_DIRECTORY/passphrase"`) {
		t.Error("the passphrase does not come through a credential and a descriptor")
	}
	// Where systemd is, it has the last word.
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	for _, path := range paths {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=20", path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

type volume struct {
	Name      string
	Projected *yaml.Node
}

// object is what the test looks at of an object of Kubernetes.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Replicas                 int
		PublishNotReadyAddresses bool        `yaml:"publishNotReadyAddresses"`
		PolicyTypes              []string    `yaml:"policyTypes"`
		VolumeClaimTemplates     []yaml.Node `yaml:"volumeClaimTemplates"`
		Template                 struct {
			Spec struct {
				AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
				SecurityContext              struct {
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
				} `yaml:"securityContext"`
				Containers []struct {
					Command         []string
					Args            []string
					Env             []yaml.Node
					SecurityContext struct {
						AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
						ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
						Capabilities             struct{ Drop []string }
					} `yaml:"securityContext"`
					Resources struct{ Limits map[string]string }
				}
				Volumes []volume
			}
		}
	}
}

func TestKubernetesManifest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(deployed, "kubernetes", "broker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*object{}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		o := new(object)
		if err := d.Decode(o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if o.APIVersion == "" || o.Metadata.Name == "" || objects[o.Kind] != nil {
			t.Errorf("object %+v", o)
		}
		objects[o.Kind] = o
	}
	for _, kind := range []string{"ServiceAccount", "Service", "StatefulSet", "NetworkPolicy"} {
		if objects[kind] == nil {
			t.Fatalf("no %s", kind)
		}
	}
	set := objects["StatefulSet"].Spec
	pod := set.Template.Spec
	if set.Replicas != 1 || len(set.VolumeClaimTemplates) != 1 || len(pod.Containers) != 1 {
		t.Errorf("a broker is one pod with a volume: %+v", set)
	}
	if !objects["Service"].Spec.PublishNotReadyAddresses {
		t.Error("owners cannot reach a broker that waits for them")
	}
	if !slices.Equal(objects["NetworkPolicy"].Spec.PolicyTypes, []string{"Ingress", "Egress"}) {
		t.Error("the network is open")
	}
	c := pod.Containers[0]
	switch s := c.SecurityContext; {
	case !pod.SecurityContext.RunAsNonRoot, !s.ReadOnlyRootFilesystem, s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation, !slices.Equal(s.Capabilities.Drop, []string{"ALL"}):
		t.Errorf("the container may too much: %+v", s)
	case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
		t.Error("the pod has a token for the cluster")
	case len(c.Env) > 0:
		t.Error("variables of the environment are no place for anything of a broker")
	case c.Resources.Limits["memory"] == "" || c.Resources.Limits["cpu"] == "":
		t.Error("no limits")
	}
	for _, probe := range []string{"startupProbe:", "livenessProbe:", "readinessProbe:"} {
		if !strings.Contains(string(text), probe) {
			t.Errorf("no %s", probe)
		}
	}
	if !slices.ContainsFunc(pod.Volumes, func(v volume) bool { return v.Projected != nil }) {
		t.Error("the secret is not projected")
	}
	checkCommandLine(t, c.Command[len(c.Command)-1])
}
