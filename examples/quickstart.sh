#!/usr/bin/env bash
# Trains on the breast cancer table, predicts the rows that were held out and
# says how good that is. Wants bin/cloister: make quickstart builds it first.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
example=examples/breast_cancer

show() {
	printf '$ %s\n' "$*"
	"$@"
	echo
}

show bin/cloister train config=$example/train.conf
show bin/cloister predict config=$example/predict.conf

# Label and prediction of each held-out row, the lowest prediction first. The
# area under the ROC curve is the rank sum of the malignant, equal predictions
# sharing their ranks.
paste -d ' ' $example/predictions.txt <(tail -n +2 $example/test.csv | cut -d , -f 1) | sort -g | awk '
	NF != 2 { print "line " NR ": want a prediction and a label, got: " $0 >"/dev/stderr"; bad = 1; exit 1 }
	{ score[NR] = $1; label[NR] = $2; right += ($1 > 0.5) == $2 }
	END {
		if (bad) exit 1
		for (i = 1; i <= NR; i = j) {
			for (j = i; j <= NR && score[j] == score[i]; j++) tied += label[j]
			sum += tied * (i + j - 1) / 2
			positives += tied
			tied = 0
		}
		auc = (sum - positives * (positives + 1) / 2) / (positives * (NR - positives))
		printf "Held out: %d rows, %d of them classified right, area under the ROC curve %.4f\n", NR, right, auc
	}'
cat <<TEXT
Model:    $example/model.txt (LightGBM loads it as well)

Next:
  bin/cloister train config=$example/train.conf num_leaves=4
      the same with another setting
  bin/cloister train --help-parameters
      all settings
  bin/cloister train objective=binary data=TABLE.csv header=true label_column=name:COLUMN
      your own table
TEXT
