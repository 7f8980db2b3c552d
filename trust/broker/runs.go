package broker

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cloister/trust/broker/store"
)

// runRecord counts the runs of a job.
type runRecord struct {
	Runs uint64 `json:"runs"`
}

// againRecord is a run by the key that asked: who asks again with the same key,
// since an answer was lost, does not run again. Each is a record of its own, so
// that a run writes as little for a job that runs often.
type againRecord struct {
	Run uint64    `json:"run"`
	At  time.Time `json:"at"`
}

// sameRun is how long a program may ask again without running again, and
// mostSame of how many of a job's last runs this is remembered.
const (
	sameRun  = time.Hour
	mostSame = 256
)

// countRun counts a run, of at most so many if they are limited. Who is named in
// by may ask again without running again; nobody is if it is empty.
func (s *Server) countRun(tx *store.Tx, job, by string, limited bool, most uint64, now time.Time) (uint64, error) {
	if by != "" {
		var before againRecord
		known, err := getJSON(tx, bucketAgain, job+"/"+by, &before)
		if err != nil {
			return 0, err
		}
		if known && now.Sub(before.At) <= sameRun {
			return before.Run, nil
		}
	}
	var r runRecord
	if _, err := getJSON(tx, bucketRuns, job, &r); err != nil {
		return 0, err
	}
	if limited && r.Runs >= most {
		return 0, refuse(CodeRuns, "the job ran %d times; its owners allow %d", r.Runs, most)
	}
	r.Runs++
	if err := putJSON(tx, bucketRuns, job, &r); err != nil {
		return 0, err
	}
	if by != "" {
		if err := putJSON(tx, bucketAgain, job+"/"+by, &againRecord{r.Runs, now}); err != nil {
			return 0, err
		}
		if err := tx.Put(bucketLast, fmt.Sprintf("%s/%020d", job, r.Runs), []byte(by)); err != nil {
			return 0, err
		}
	}
	return r.Runs, forgetRuns(tx, job, r.Runs, now)
}

// forgetRuns forgets by whom the oldest runs of a job were, two at most, so that
// there are fewer each time until there are as many as are remembered.
func forgetRuns(tx *store.Tx, job string, runs uint64, now time.Time) error {
	var old [][2]string
	for key, by := range tx.Prefix(bucketLast, job+"/") {
		run, err := strconv.ParseUint(key[len(job)+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("record %.100q of %s in the store: %w", key, bucketLast, err)
		}
		var r againRecord
		value, known := tx.Get(bucketAgain, job+"/"+string(by))
		if known {
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("record %.100q of %s in the store: %w", by, bucketAgain, err)
			}
		}
		again := known && r.Run == run // by has not run once more since
		if again && run+mostSame > runs && now.Sub(r.At) <= sameRun || len(old) == 2 {
			break
		}
		old = append(old, [2]string{key, ""})
		if again {
			old[len(old)-1][1] = job + "/" + string(by)
		}
	}
	for _, o := range old {
		if err := tx.Delete(bucketLast, o[0]); err != nil {
			return err
		}
		if o[1] == "" {
			continue
		}
		if err := tx.Delete(bucketAgain, o[1]); err != nil {
			return err
		}
	}
	return nil
}
