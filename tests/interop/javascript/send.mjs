// Sends traces of one service: send.mjs KIND COMPRESSION URL TRACES, KIND one of http/json, http/protobuf, grpc.
// Of each trace the entry span takes 5 ms and has one child; the first takes 1.5 s, the second fails.
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

const [kind, compression, url, traces] = process.argv.slice(2)
const packages = { 'http/json': 'http', 'http/protobuf': 'proto', grpc: 'grpc' }
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${packages[kind]}`)
const exporter = new OTLPTraceExporter({ url, compression })
const failures = []
const send = exporter.export.bind(exporter)
exporter.export = (spans, done) => send(spans, result => {
  if (result.code !== 0) failures.push(result.error)
  done(result)
})
const provider = new TracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'javascript' }),
  spanProcessors: [new BatchSpanProcessor({ exporter, maxQueueSize: 100000 })],
})
const tracer = provider.getTracer('test')
const now = Date.now()
for (let i = 0; i < Number(traces); i++) {
  const startTime = now - (i === 0 ? 1500 : 5)
  const root = tracer.startSpan('GET /', { kind: SpanKind.SERVER, startTime })
  const child = tracer.startSpan('SELECT', { kind: SpanKind.CLIENT, startTime }, trace.setSpan(context.active(), root))
  if (i === 1) root.setStatus({ code: SpanStatusCode.ERROR, message: 'it failed' })
  child.setAttributes({ text: 'Größe', number: 7, fraction: 1.5, flag: true, list: ['a', 'b'] })
  child.addEvent('something')
  child.end(now)
  root.end(now)
}
await provider.forceFlush()
await provider.shutdown()
if (failures.length > 0) {
  console.error(failures)
  process.exit(1)
}
