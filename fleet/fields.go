package fleet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// The names of fields, as the output otlp sends them and VictoriaLogs keeps them.
const (
	fieldHostID   = "host.id"
	fieldHostName = "host.name"
	fieldKernel   = "os.version"
	fieldJournal  = "kmodtrace.journal"
	fieldSeq      = "kmodtrace.seq"
	fieldHash     = "kmodtrace.hash"
	fieldKind     = "kmodtrace.kind"
	fieldBoot     = "kmodtrace.boot"
	fieldModule   = "kmodtrace.module"
	fieldAction   = "kmodtrace.action"
	fieldOutcome  = "kmodtrace.outcome"
	fieldContent  = "kmodtrace.sha256"
	fieldUser     = "user.name"
	fieldBody     = "kmodtrace.record"
	fieldChain    = "kmodtrace.chain"
	fieldTime     = "_time"
)

// fieldsRecord makes a record of fields. What questions are asked by stands beside the chain: who
// changed only that would change answers, so it must agree with what the hash is over.
func fieldsRecord(fields map[string]string) (*Record, error) {
	host := Host{ID: fields[fieldHostID], Name: fields[fieldHostName], Kernel: fields[fieldKernel]}
	text := fields[fieldChain]
	if text == "" {
		r, err := bareRecord(fields)
		if err == nil {
			r.Host = host
		}
		return r, err
	}
	var c journal.Chained
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("record %s: %s: %w", fields[fieldSeq], fieldChain, err)
	}
	r := chainedRecord(&c, []byte(fields[fieldBody]))
	r.Host = host
	for _, f := range []struct{ name, is string }{
		{fieldJournal, r.Journal}, {fieldSeq, strconv.FormatInt(r.Seq, 10)}, {fieldHash, r.Hash.String()}, {fieldKind, string(r.Kind)}, {fieldBoot, r.Boot},
	} {
		if has, ok := fields[f.name]; ok && has != f.is && r.Changed == "" {
			r.Changed = fmt.Sprintf("record %d has another %s than the one that its hash is over", r.Seq, f.name)
		}
	}
	for _, f := range []struct{ name, is string }{{fieldModule, r.Module}, {fieldContent, r.Content}, {fieldAction, r.Action}, {fieldOutcome, r.Outcome}} {
		if r.Kind != journal.KindAction && f.name != fieldModule || r.Kind == journal.KindFinding {
			continue // a finding has some of its action's
		}
		if has := fields[f.name]; has != "" && f.is != "" && has != strings.ToValidUTF8(f.is, "\uFFFD") && r.Changed == "" {
			r.Changed = fmt.Sprintf("record %d has another %s than the one that its hash is over", r.Seq, f.name)
		}
	}
	return r, nil
}

// bareRecord is one of an earlier release, which sent no chain: it is there, and that it is as it
// was written cannot be shown.
func bareRecord(fields map[string]string) (*Record, error) {
	r := &Record{Journal: fields[fieldJournal], Unproven: true}
	var err error
	if r.Seq, err = strconv.ParseInt(fields[fieldSeq], 10, 64); err != nil {
		return nil, fmt.Errorf("%s %.40q: not a number", fieldSeq, fields[fieldSeq])
	}
	if err := r.Hash.UnmarshalText([]byte(fields[fieldHash])); err != nil {
		return nil, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	if r.Time, err = time.Parse(time.RFC3339Nano, fields[fieldTime]); err != nil {
		return nil, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	r.Kind, r.Boot, r.Module, r.Content = journal.Kind(fields[fieldKind]), fields[fieldBoot], fields[fieldModule], fields[fieldContent]
	r.Action, r.Outcome, r.User = fields[fieldAction], fields[fieldOutcome], fields[fieldUser]
	return r, nil
}

// resourceLogs is what a Collector's file exporter writes of OTLP.
type resourceLogs struct {
	Resource  struct{ Attributes []keyValue }
	ScopeLogs []struct {
		LogRecords []struct {
			TimeUnixNano string
			Attributes   []keyValue
		}
	}
}

type keyValue struct {
	Key   string
	Value struct{ StringValue *string }
}

func otlpRecords(all []resourceLogs) (records []*Record, err error) {
	for _, of := range all {
		for _, scope := range of.ScopeLogs {
			for _, l := range scope.LogRecords {
				fields := map[string]string{}
				for _, kv := range append(of.Resource.Attributes[:len(of.Resource.Attributes):len(of.Resource.Attributes)], l.Attributes...) {
					if kv.Value.StringValue != nil {
						fields[kv.Key] = *kv.Value.StringValue
					}
				}
				if ns, err := strconv.ParseInt(l.TimeUnixNano, 10, 64); err == nil {
					fields[fieldTime] = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
				}
				if fields[fieldSeq] == "" {
					continue // of another program
				}
				r, err := fieldsRecord(fields)
				if err != nil {
					return nil, err
				}
				records = append(records, r)
			}
		}
	}
	return records, nil
}
