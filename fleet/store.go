package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Store is a VictoriaLogs, or the vlselect of a cluster of it, that is asked by LogsQL.
type Store struct {
	url    *url.URL
	client *http.Client
}

// NewStore gives the store at a URL; what is before /select is its path. Nothing is called yet.
func NewStore(u *url.URL) *Store {
	// Redirections are not followed: who asks may have given a password.
	return &Store{url: u, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ours selects the streams of kmodtrace.
const ours = `{service.name="kmodtrace"}`

// StatusError is an answer of a store that is not one to the question.
type StatusError struct {
	Status int
	Text   string
	// After is for how long it asks for no further questions.
	After time.Duration
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the store answers %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// maxErrorText bounds what is read of an answer that is an error.
const maxErrorText = 400

// query sends a question and yields its lines. An answer that ends in the middle is an error: the
// store marks its end.
func (s *Store) query(ctx context.Context, logsql string) iter.Seq2[map[string]string, error] {
	return func(yield func(map[string]string, error) bool) {
		resp, err := s.ask(ctx, logsql)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		d := json.NewDecoder(resp.Body)
		for {
			var fields map[string]string
			err := d.Decode(&fields)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("the answer of the store breaks off: %w", err))
				return
			}
			if !yield(fields, nil) {
				return
			}
		}
	}
}

func (s *Store) ask(ctx context.Context, logsql string) (*http.Response, error) {
	where := s.url.JoinPath("select/logsql/query")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where.String(), strings.NewReader(url.Values{"query": {logsql}}.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	e := &StatusError{Status: resp.StatusCode, Text: strings.TrimSpace(string(text))}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.After = time.Duration(seconds) * time.Second
	}
	return nil, e
}

// quote makes a text of LogsQL.
func quote(text string) string { return strconv.Quote(text) }

// selector is the filter of a query.
func (q *query) selector() string {
	text := ours
	if !q.until.IsZero() {
		text += " _time:<=" + q.until.UTC().Format(time.RFC3339Nano)
	}
	if q.module != "" {
		text += " " + quote(fieldModule) + ":=" + quote(q.module)
	}
	if q.content != "" {
		text += " " + quote(fieldContent) + ":=" + quote(q.content)
	}
	return text
}

func (s *Store) records(ctx context.Context, q query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for fields, err := range s.query(ctx, q.selector()) {
			var r *Record
			if err == nil {
				r, err = fieldsRecord(fields)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Links yields what a store has of a journal between two numbers, and between two times, both
// with their ends: the number and the hash of each record, in any order, and more than once where
// it has it so.
func (s *Store) Links(ctx context.Context, journalName string, from, through int64, since, until time.Time) iter.Seq2[journal.Link, error] {
	ask := fmt.Sprintf(`{service.name="kmodtrace",%s=%s} _time:[%s,%s] %s:range[%d,%d] | fields %s, %s`,
		quote(fieldJournal), quote(journalName), since.UTC().Format(time.RFC3339Nano), until.UTC().Format(time.RFC3339Nano),
		quote(fieldSeq), from, through, quote(fieldSeq), quote(fieldHash))
	return func(yield func(journal.Link, error) bool) {
		for fields, err := range s.query(ctx, ask) {
			var l journal.Link
			if err == nil {
				l.Seq, err = strconv.ParseInt(fields[fieldSeq], 10, 64)
			}
			if err == nil {
				err = l.Hash.UnmarshalText([]byte(fields[fieldHash]))
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}
