package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdk "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kmodtrace/kmodtrace/record"
)

// otlp sends OpenTelemetry log records to a collector. The SDK's own processors export
// beside the caller, or tell nobody of an error; so the records are taken from the SDK
// and given to its exporter here.
type otlp struct {
	name     string
	exporter sdk.Exporter
	provider *sdk.LoggerProvider
	logger   log.Logger
	made     *collected
	answers  *answers
	host     host
}

// collected are the records that were made, with what the SDK adds to them.
type collected struct{ records []sdk.Record }

func (c *collected) Enabled(context.Context, sdk.EnabledParameters) bool { return true }
func (c *collected) Shutdown(context.Context) error                      { return nil }
func (c *collected) ForceFlush(context.Context) error                    { return nil }

func (c *collected) OnEmit(_ context.Context, r *sdk.Record) error {
	c.records = append(c.records, r.Clone())
	return nil
}

func newOTLP(c Config, h host) (*otlp, error) {
	endpoint, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	o := &otlp{name: c.Label(), made: new(collected), answers: newAnswers(), host: h}
	o.exporter, err = otlploghttp.New(context.Background(),
		otlploghttp.WithEndpointURL(endpoint.String()),
		otlploghttp.WithHeaders(withStream(c.Headers)),
		otlploghttp.WithCompression(otlploghttp.GzipCompression),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{}), // the caller does
		otlploghttp.WithHTTPClient(o.answers.client()))
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", c.Endpoint, err)
	}
	o.provider = sdk.NewLoggerProvider(sdk.WithProcessor(o.made), sdk.WithResource(h.resource()), sdk.WithAttributeCountLimit(-1))
	o.logger = o.provider.Logger("kmodtrace", log.WithInstrumentationVersion(h.version), log.WithSchemaURL(semconv.SchemaURL))
	return o, nil
}

// streamHeader tells VictoriaLogs which fields name a stream: one for each journal. Without it each
// new release of the program or of the kernel would begin a stream of its own. Other receivers
// have no use for it.
const streamHeader, streamFields = "VL-Stream-Fields", "service.name,host.id,host.name,kmodtrace.journal"

// withStream adds that header, unless the configuration has it.
func withStream(headers map[string]string) map[string]string {
	all := map[string]string{streamHeader: streamFields}
	for name, value := range headers {
		if strings.EqualFold(name, streamHeader) {
			delete(all, streamHeader)
		}
		all[name] = value
	}
	return all
}

func (h host) resource() *resource.Resource {
	all := []attribute.KeyValue{
		semconv.ServiceName("kmodtrace"), semconv.ServiceVersion(h.version),
		semconv.HostName(valid(h.name)), semconv.OSTypeLinux, semconv.OSVersion(valid(h.release)),
	}
	if h.id != "" {
		all = append(all, semconv.HostID(h.id))
	}
	if h.journal != "" {
		// Of the resource, because stores keep together what has one resource: whoever looks for
		// holes reads one journal at a time.
		all = append(all, attribute.String("kmodtrace.journal", valid(h.journal)))
	}
	return resource.NewWithAttributes(semconv.SchemaURL, all...)
}

func (o *otlp) Name() string { return o.name }

func (o *otlp) Close() error {
	o.answers.transport.CloseIdleConnections()
	return errors.Join(o.exporter.Shutdown(context.Background()), o.provider.Shutdown(context.Background()))
}

// Send sends halves of what a collector does not take as a whole, until it is known which
// entry is in the way.
func (o *otlp) Send(ctx context.Context, entries []Entry) error {
	refused, err := o.export(ctx, entries)
	switch {
	case err == nil:
		return nil
	case !refused:
		return err
	case len(entries) == 1:
		return &RefusedError{Seq: entries[0].Seq, Err: err}
	}
	half := len(entries) / 2
	if err := o.Send(ctx, entries[:half]); err != nil {
		return err
	}
	return o.Send(ctx, entries[half:])
}

// export tells of an error whether it is about what was sent.
func (o *otlp) export(ctx context.Context, entries []Entry) (refused bool, err error) {
	if wait := time.Until(o.answers.notBefore); wait > 0 {
		return false, fmt.Errorf("the collector asked for no requests for %v more", wait.Round(time.Second))
	}
	for i := range entries {
		o.logger.Emit(context.WithoutCancel(ctx), o.host.otlpRecord(&entries[i]))
	}
	records := o.made.records
	o.made.records = nil
	if len(records) != len(entries) {
		return false, fmt.Errorf("%d records were made of %d", len(records), len(entries))
	}
	o.answers.forget()
	err = o.exporter.Export(ctx, records)
	if o.answers.took {
		// The exporter makes an error of a warning too.
		return o.answers.refused != nil, o.answers.refused
	}
	if err == nil {
		return false, errors.New("the collector gave no answer")
	}
	return o.answers.unfit(), errors.New(clip(printable(err.Error()), 400))
}

// answers are what a collector answers, beside what the exporter tells of it.
type answers struct {
	transport *http.Transport
	notBefore time.Time
	status    int
	took      bool  // it took what it did not refuse
	refused   error // what it did not take, and never will
}

func newAnswers() *answers {
	return &answers{transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: 90 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
	}}
}

// client follows no redirections: what goes with a request is for one collector.
func (a *answers) client() *http.Client {
	return &http.Client{Transport: a, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (a *answers) forget() { a.status, a.took, a.refused = 0, false, nil }

// unfit tells whether the last answer was that the request is malformed or too large.
func (a *answers) unfit() bool {
	return a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge || a.status == http.StatusUnprocessableEntity
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	a.status = resp.StatusCode
	a.notBefore = time.Now().Add(retryAfter(resp))
	if resp.StatusCode < 300 {
		a.took = true
		a.refused = partial(resp, body)
	}
	return resp, nil
}

// partial tells what a collector says it did not take of what it took otherwise. The
// standard forbids to send that again.
func partial(resp *http.Response, body []byte) error {
	var answer collector.ExportLogsServiceResponse
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-protobuf") || proto.Unmarshal(body, &answer) != nil {
		return nil
	}
	n := answer.GetPartialSuccess().GetRejectedLogRecords()
	if n <= 0 {
		return nil
	}
	return fmt.Errorf("the collector rejects %d of them: %s", n, clip(printable(answer.GetPartialSuccess().GetErrorMessage()), 200))
}

// longestAfter bounds for how long a collector can make itself be left alone.
const longestAfter = 10 * time.Minute

func retryAfter(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = time.Until(at)
	}
	return min(max(after, 0), longestAfter)
}

func (h host) otlpRecord(e *Entry) log.Record {
	var r log.Record
	r.SetTimestamp(e.Time)
	r.SetObservedTimestamp(e.Time)
	r.SetBody(attribute.StringValue(valid(e.Text)))
	r.SetEventName("kmodtrace." + orUnknown(valid(string(e.Kind))))
	switch e.level() {
	case levelCritical:
		r.SetSeverity(log.SeverityError3)
	case levelError:
		r.SetSeverity(log.SeverityError)
	case levelWarning:
		r.SetSeverity(log.SeverityWarn)
	case levelNotice:
		r.SetSeverity(log.SeverityInfo2)
	default:
		r.SetSeverity(log.SeverityInfo)
	}
	r.SetSeverityText(e.level().String())
	r.AddAttributes(semconv.LogRecordUID(valid(e.ID)))
	r.AddAttributes(ownAttributes(e)...)
	body := e.record()
	r.AddAttributes(attribute.String("kmodtrace.record", string(body)))
	if chain := h.chain(e, body); chain != "" {
		r.AddAttributes(attribute.String("kmodtrace.chain", chain))
	}
	if e.Known != nil {
		r.AddAttributes(fileAttributes(e.Known)...)
		r.AddAttributes(processAttributes(e)...)
		r.AddAttributes(whoAttributes(e.Known)...)
	}
	return r
}

// valid is what can be in a message of the protocol.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// conventional are the facts that have names in the semantic conventions.
var conventional = map[string]bool{
	"id": true, "file": true, "pid": true, "comm": true, "exe": true, "command": true, "user": true,
	"container": true, "container_runtime": true, "container_image": true, "pod": true, "pod_namespace": true, "pod_name": true, "pod_container": true,
}

// ownAttributes are the facts that have no names in the semantic conventions.
func ownAttributes(e *Entry) []attribute.KeyValue {
	var all []attribute.KeyValue
	for _, f := range facts(e) {
		if !conventional[f.name] {
			all = append(all, attribute.String("kmodtrace."+f.name, valid(f.value)))
		}
	}
	if a := e.Known; a != nil && a.Cause != nil {
		all = append(all, semconv.ErrorTypeKey.String(valid(string(a.Cause.Code))))
	}
	return all
}

func fileAttributes(a *record.Record) []attribute.KeyValue {
	f := a.File
	if f == nil {
		return nil
	}
	all := []attribute.KeyValue{
		semconv.FilePath(valid(f.Path)), semconv.FileName(valid(baseName(f.Path))), semconv.FileSize(int(long(f.Size))),
		semconv.FileInode(strconv.FormatUint(f.Inode, 10)), semconv.FileOwnerID(decimal(f.UID)), semconv.FileGroupID(decimal(f.GID)),
	}
	if f.Mode != 0 {
		all = append(all, semconv.FileMode(fmt.Sprintf("%04o", f.Mode&0o7777)))
	}
	return all
}

func processAttributes(e *Entry) []attribute.KeyValue {
	a := e.Known
	p := processOf(a)
	all := []attribute.KeyValue{semconv.ProcessPID(int(p.PID)), semconv.ProcessTitle(valid(p.Comm)), semconv.ProcessUserID(int(p.EUID)), semconv.ProcessRealUserID(int(p.UID))}
	if path := exePath(&p); path != "" {
		all = append(all, semconv.ProcessExecutablePath(valid(path)), semconv.ProcessExecutableName(valid(baseName(path))))
	}
	if t := moment(began(e, &p)); t != "" {
		all = append(all, semconv.ProcessCreationTime(t))
	}
	if a.Actor == nil {
		return all
	}
	if args := a.Actor.Args; len(args) > 0 {
		clean := make([]string, len(args))
		for i := range args {
			clean[i] = valid(args[i])
		}
		all = append(all, semconv.ProcessCommandArgs(clean...), semconv.ProcessCommandLine(strings.Join(clean, " ")))
	}
	if path := workingDirectory(a); path != "" {
		all = append(all, semconv.ProcessWorkingDirectory(valid(path)))
	}
	if len(a.Actor.Ancestors) > 0 {
		all = append(all, semconv.ProcessParentPID(int(a.Actor.Ancestors[0].PID)))
	}
	return all
}

func whoAttributes(a *record.Record) []attribute.KeyValue {
	who := a.Responsible()
	if who == nil {
		return nil
	}
	uid, _ := record.Login(&who.Process)
	all := []attribute.KeyValue{semconv.UserName(valid(record.User(&who.Process))), semconv.UserID(decimal(uid))}
	if c := who.Cgroup.Container; c != nil {
		all = append(all, semconv.ContainerID(valid(c.ID)))
		if c.Runtime != "" {
			all = append(all, semconv.ContainerRuntimeName(valid(c.Runtime)))
		}
		if c.Image != "" {
			all = append(all, semconv.ContainerImageName(valid(c.Image)))
		}
	}
	if who.Cgroup.PodUID != "" {
		all = append(all, semconv.K8SPodUID(valid(who.Cgroup.PodUID)))
	}
	if pod := who.Cgroup.Pod; pod != nil {
		all = append(all, semconv.K8SNamespaceName(valid(pod.Namespace)), semconv.K8SPodName(valid(pod.Name)))
		if pod.Container != "" {
			all = append(all, semconv.K8SContainerName(valid(pod.Container)))
		}
	}
	return all
}
