package objective

import (
	"fmt"
	"strconv"
	"strings"

	"cloister/engine/portmath"
)

// maxClasses bounds what a model text may claim.
const maxClasses = 1 << 20

// ParseOutput returns the output of the objective line of a model text, such
// as "multiclass num_class:3". Errors match ErrObjective.
func ParseOutput(line string) (Output, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil, fmt.Errorf("%w: the line is empty", ErrObjective)
	}
	p := parsed{name: fields[0], classes: -1, sigmoid: -1}
	for _, f := range fields[1:] {
		if err := p.field(f); err != nil {
			return nil, err
		}
	}
	return p.output()
}

type parsed struct {
	name    string
	sqrt    bool
	classes int
	sigmoid float64
}

func (p *parsed) field(f string) error {
	key, value, _ := strings.Cut(f, ":")
	switch key {
	case "sqrt":
		p.sqrt = true
	case "num_class":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxClasses {
			return fmt.Errorf("%w %s: num_class %q is not a number from 1 to %d", ErrObjective, p.name, value, maxClasses)
		}
		p.classes = n
	case "sigmoid":
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x > 0) || x-x != 0 {
			return fmt.Errorf("%w %s: sigmoid %q is not a number above 0", ErrObjective, p.name, value)
		}
		p.sigmoid = x
	}
	return nil
}

func (p *parsed) output() (Output, error) {
	if needed := p.name == "binary" || p.name == "multiclassova"; needed && p.sigmoid < 0 {
		return nil, fmt.Errorf("%w %s: the line has no sigmoid", ErrObjective, p.name)
	}
	if needed := p.name == "multiclass" || p.name == "multiclassova"; needed && p.classes < 0 {
		return nil, fmt.Errorf("%w %s: the line has no num_class", ErrObjective, p.name)
	}
	switch p.name {
	case "regression", "regression_l1", "fair", "quantile", "mape":
		return newSqrtOutput(p.name, p.sqrt), nil
	case "huber":
		return newSqrtOutput(p.name, false), nil
	case "poisson", "gamma", "tweedie":
		return newLogOutput(p.name), nil
	case "binary":
		return newSigmoidOutput(p.name, p.sigmoid), nil
	case "multiclass":
		return softmaxOutput{several{p.name, p.classes}}, nil
	case "multiclassova":
		return sigmoidsOutput{several{p.name, p.classes}, p.sigmoid}, nil
	case "cross_entropy":
		return newLogisticOutput(p.name), nil
	case "cross_entropy_lambda":
		return newLambdaOutput(p.name), nil
	case "lambdarank", "rank_xendcg":
		return newRankOutput(p.name), nil
	}
	return nil, fmt.Errorf("%w: there is no %q", ErrObjective, p.name)
}

// short formats a number as C++ streams do, with six digits.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// single is what outputs of one model share.
type single struct {
	name     string
	accurate bool
}

// Name implements Output.
func (o single) Name() string { return o.name }

// String implements Output.
func (o single) String() string { return o.name }

// Models implements Output.
func (o single) Models() int { return 1 }

// NeedsAccuratePrediction implements Output.
func (o single) NeedsAccuratePrediction() bool { return o.accurate }

// sqrtOutput is the score itself or, with reg_sqrt, its signed square.
type sqrtOutput struct {
	single
	squared bool
}

func newSqrtOutput(name string, squared bool) sqrtOutput {
	return sqrtOutput{single{name, true}, squared}
}

// String implements Output.
func (o sqrtOutput) String() string {
	if o.squared {
		return o.name + " sqrt"
	}
	return o.name
}

// Transform implements Output.
func (o sqrtOutput) Transform(raw, out []float64) {
	x := raw[0]
	if o.squared {
		x = float64(sign(x) * float64(x*x))
	}
	out[0] = x
}

// logOutput is e^score.
type logOutput struct{ single }

func newLogOutput(name string) logOutput { return logOutput{single{name, true}} }

// Transform implements Output.
func (o logOutput) Transform(raw, out []float64) { out[0] = portmath.Exp(raw[0]) }

// sigmoidOutput is the probability of the positive class.
type sigmoidOutput struct {
	single
	slope float64
}

func newSigmoidOutput(name string, slope float64) sigmoidOutput {
	return sigmoidOutput{single{name, false}, slope}
}

// String implements Output.
func (o sigmoidOutput) String() string { return o.name + " sigmoid:" + short(o.slope) }

// Transform implements Output.
func (o sigmoidOutput) Transform(raw, out []float64) {
	out[0] = 1 / (1 + portmath.Exp(float64(-o.slope*raw[0])))
}

// logisticOutput is the expected label of cross_entropy.
type logisticOutput struct{ single }

func newLogisticOutput(name string) logisticOutput { return logisticOutput{single{name, true}} }

// Transform implements Output.
func (o logisticOutput) Transform(raw, out []float64) { out[0] = 1 / (1 + portmath.Exp(-raw[0])) }

// lambdaOutput is the intensity ln(1 + e^score) of cross_entropy_lambda.
type lambdaOutput struct{ single }

func newLambdaOutput(name string) lambdaOutput { return lambdaOutput{single{name, true}} }

// Transform implements Output.
func (o lambdaOutput) Transform(raw, out []float64) { out[0] = softplus(raw[0]) }

// softplus is ln(1 + e^x).
func softplus(x float64) float64 {
	if x > 40 {
		return x
	}
	return portmath.Log1p(portmath.Exp(x))
}

// rankOutput is the score itself.
type rankOutput struct{ single }

func newRankOutput(name string) rankOutput { return rankOutput{single{name, false}} }

// Transform implements Output.
func (o rankOutput) Transform(raw, out []float64) { out[0] = raw[0] }

// several is what outputs of several classes share.
type several struct {
	name    string
	classes int
}

// Name implements Output.
func (o several) Name() string { return o.name }

// String implements Output.
func (o several) String() string { return fmt.Sprintf("%s num_class:%d", o.name, o.classes) }

// Models implements Output.
func (o several) Models() int { return o.classes }

// NeedsAccuratePrediction implements Output.
func (o several) NeedsAccuratePrediction() bool { return false }

// softmaxOutput is the probability of each class.
type softmaxOutput struct{ several }

// Transform implements Output.
func (o softmaxOutput) Transform(raw, out []float64) { softmax(raw, out) }

// softmax writes e^raw over its sum.
func softmax(raw, out []float64) {
	top := raw[0]
	for _, x := range raw[1:] {
		top = max(top, x)
	}
	sum := 0.
	for i, x := range raw {
		e := portmath.Exp(x - top)
		out[i] = e
		sum += e
	}
	for i := range raw {
		out[i] /= sum
	}
}

// sigmoidsOutput is the probability of each class against all others; they
// need not add up to 1.
type sigmoidsOutput struct {
	several
	slope float64
}

// String implements Output.
func (o sigmoidsOutput) String() string { return o.several.String() + " sigmoid:" + short(o.slope) }

// Transform implements Output.
func (o sigmoidsOutput) Transform(raw, out []float64) {
	for i, x := range raw {
		out[i] = 1 / (1 + portmath.Exp(float64(-o.slope*x)))
	}
}
