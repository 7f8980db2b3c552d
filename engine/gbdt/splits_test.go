package gbdt_test

import (
	"context"
	"strings"
	"testing"

	"cloister/engine/gbdt"
)

func TestSplitParametersFitTheData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ settings, want string }{
		"feature_contri":          {"feature_contri=1,2", "feature_contri has 2 values, but the training data has 8 features"},
		"interaction_constraints": {"interaction_constraints=[0,1],[2,8]", "interaction_constraints: group 2 names feature 8, but the training data has features 0 to 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, strings.Fields(test.settings)...)
			_, err := gbdt.Train(context.Background(), cfg, load(t, cfg, table(1, 300), nil), gbdt.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
