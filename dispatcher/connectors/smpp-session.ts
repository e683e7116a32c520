/**
 * One SMPP connection from its connect to its close: TCP or TLS, the bind, enquire_link both ways, unbind both ways. It lives
 * once; who wants another opens another (smpp-bind.ts). It holds no timers: `tick` is called every few dozen milliseconds.
 *
 * What is sent in one turn of the event loop leaves in one write: a write per PDU was 18 % of the dispatcher's CPU.
 */
import net from 'node:net';
import tls from 'node:tls';
import smpp from 'smpp';
import type { SmppSettings } from '../../shared/sms/operator-smpp.ts';
import { Command, createFramer, type Header, headerOnly, RESPONSE_BIT, readHeader } from './smpp-pdu.ts';
import { ESME_RINVCMDID, ESME_RINVCMDLEN, ESME_ROK, statusWord } from './statuses.ts';

export type Role = 'transceiver' | 'transmitter' | 'receiver';

export type SessionEvents = {
  onBound(): void;
  /** A submit_sm_resp, or a generic_nack of something that was sent. */
  onAnswer(header: Header, frame: Buffer): void;
  onDeliver(frame: Buffer, sequence: number): void;
  /** What was sent goes to the socket now: from here on it may have arrived. */
  onWrite(nowMs: number): void;
  /** Once, and the last of all: nothing more will be written or read. */
  onClosed(error: string): void;
};

export type Session = {
  readonly bound: boolean;
  nextSequence(): number;
  send(frame: Buffer): void;
  /** Ends what has taken too long, and asks a silent peer whether it is there. */
  tick(nowMs: number): void;
  /** Asks the peer to unbind, and closes at its answer or a second later. */
  unbind(): void;
  destroy(error: string): void;
};

/** SMPP 3.4, 4.7.3: what a PDU's sequence number may be at most. */
const SEQUENCE_MAX = 0x7fff_ffff;
const UNBIND_WAIT_MS = 1_000;
const INTERFACE_VERSION = 0x34;

const BIND_COMMAND = {
  transceiver: Command.bindTransceiver,
  transmitter: Command.bindTransmitter,
  receiver: Command.bindReceiver,
} as const;

type State = 'connecting' | 'binding' | 'bound' | 'unbinding' | 'closed';

/** @param trusted certificates of authorities besides the system's; only with TLS */
export function openSession(
  settings: SmppSettings,
  role: Role,
  trusted: readonly string[] | undefined,
  events: SessionEvents,
): Session {
  let state: State = 'connecting';
  let sequence = 0;
  let outgoing: Buffer[] = [];
  let flushing = false;
  const startedAt = performance.now();
  let receivedAt = startedAt;
  let enquiredAt = 0;
  let unboundAt = 0;
  let bindSequence = 0;
  const framer = createFramer();
  const socket = connect(settings, trusted);

  const end = (error: string): void => {
    state = 'closed';
    outgoing = [];
    events.onClosed(error);
  };
  const close = (error: string): void => {
    if (state === 'closed') return;
    socket.destroy();
    end(error);
  };

  const nextSequence = (): number => {
    sequence = sequence >= SEQUENCE_MAX ? 1 : sequence + 1;
    return sequence;
  };

  const flush = (): void => {
    flushing = false;
    // A socket that takes no more writes is closing; what was not handed to it was not written.
    if (state === 'closed' || outgoing.length === 0 || !socket.writable) return;
    const frames = outgoing;
    outgoing = [];
    events.onWrite(performance.now());
    socket.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames));
  };

  const send = (frame: Buffer): void => {
    if (state === 'closed') return;
    outgoing.push(frame);
    if (flushing) return;
    flushing = true;
    setImmediate(flush);
  };

  const bind = (): void => {
    if (state !== 'connecting') return;
    state = 'binding';
    bindSequence = nextSequence();
    const { systemId, password, systemType, addressRange } = settings;
    const pdu = new smpp.PDU(`bind_${role}`, {
      sequence_number: bindSequence,
      system_id: systemId,
      password,
      system_type: systemType,
      interface_version: INTERFACE_VERSION,
      address_range: addressRange,
    });
    send(pdu.toBuffer());
  };

  const onBindAnswer = ({ status, sequence: answered }: Header): void => {
    if (state !== 'binding' || answered !== bindSequence) return;
    if (status !== ESME_ROK) {
      close(`bind_${statusWord(status)}`);
      return;
    }
    state = 'bound';
    events.onBound();
  };

  const unbind = (): void => {
    if (state === 'bound') {
      state = 'unbinding';
      unboundAt = performance.now();
      send(headerOnly(Command.unbind, ESME_ROK, nextSequence()));
    } else if (state !== 'unbinding') close('closed');
  };

  const onUnbind = (asked: number): void => {
    // Submits that have not left stay unwritten: what goes out behind a peer's unbind would only become unknown. What it owed us it
    // has sent before; our answers are to reach it before the socket goes.
    const answers = outgoing.filter((frame) => frame.readUInt32BE(4) !== Command.submitSm);
    if (socket.writable) socket.write(Buffer.concat([...answers, headerOnly(Command.unbindResp, ESME_ROK, asked)]));
    socket.end();
    setTimeout(() => socket.destroy(), UNBIND_WAIT_MS).unref();
    end('unbound_by_operator');
  };

  const onRequest = ({ command, sequence: asked }: Header, frame: Buffer): void => {
    switch (command) {
      case Command.enquireLink:
        send(headerOnly(Command.enquireLinkResp, ESME_ROK, asked));
        break;
      case Command.deliverSm:
        if (state === 'bound' || state === 'unbinding') events.onDeliver(frame, asked);
        break;
      case Command.unbind:
        onUnbind(asked);
        break;
      case Command.alertNotification:
        break;
      default:
        send(headerOnly(Command.genericNack, ESME_RINVCMDID, asked));
    }
  };

  const onFrame = (frame: Buffer): void => {
    if (state === 'closed') return;
    const header = readHeader(frame);
    const { command } = header;
    if (command === Command.submitSmResp) events.onAnswer(header, frame);
    else if (command < RESPONSE_BIT) onRequest(header, frame);
    else if (command === (BIND_COMMAND[role] | RESPONSE_BIT) >>> 0) onBindAnswer(header);
    else if (command === Command.unbindResp) {
      if (state === 'unbinding') close('closed');
    } else if (command === Command.genericNack) {
      if (state === 'binding' && header.sequence === bindSequence) close(`bind_${statusWord(header.status)}`);
      else events.onAnswer(header, frame);
    }
    // Every other answer, enquire_link_resp among them, says that the peer lives, which its arrival has told.
  };

  socket.setNoDelay(true);
  socket.once(settings.tls ? 'secureConnect' : 'connect', bind);
  socket.on('data', (chunk: Buffer) => {
    if (state === 'closed') return;
    receivedAt = performance.now();
    enquiredAt = 0;
    try {
      if (framer.push(chunk, onFrame)) return;
    } catch {
      // Whatever a peer sends may cost its link and never the process.
    }
    if (state === 'bound' && socket.writable) socket.write(headerOnly(Command.genericNack, ESME_RINVCMDLEN, 0));
    close('protocol_error');
  });
  socket.on('error', (error: NodeJS.ErrnoException) =>
    close(state === 'connecting' ? `connect_failed_${word(error)}` : 'connection_lost'),
  );
  socket.on('end', () => close('connection_lost'));
  socket.on('close', () => close(state === 'connecting' ? 'connect_failed' : 'connection_lost'));

  return {
    get bound() {
      return state === 'bound';
    },
    nextSequence,
    send,
    tick: (now) => {
      if (state === 'connecting' || state === 'binding') {
        if (now - startedAt >= settings.connectTimeoutMs) close(`${state === 'binding' ? 'bind' : 'connect'}_timeout`);
      } else if (state === 'unbinding') {
        if (now - unboundAt >= UNBIND_WAIT_MS) close('closed');
      } else if (enquiredAt > 0) {
        if (now - enquiredAt >= settings.responseTimeoutMs) close('enquire_link_timeout');
      } else if (now - receivedAt >= settings.enquireLinkMs) {
        enquiredAt = now;
        send(headerOnly(Command.enquireLink, ESME_ROK, nextSequence()));
      }
    },
    unbind,
    destroy: close,
  };
}

function connect({ host, port, tls: secure }: SmppSettings, trusted: readonly string[] | undefined): net.Socket {
  if (!secure) return net.connect({ host, port });
  const servername = secure.serverName ?? (net.isIP(host) ? undefined : host);
  return tls.connect({
    host,
    port,
    ...(servername === undefined ? {} : { servername }),
    ...(trusted ? { ca: [...trusted] } : {}),
  });
}

/** Node's own codes are a closed list of upper-case words; messages are not. */
const word = (error: NodeJS.ErrnoException): string => (error.code ?? 'error').toLowerCase().slice(0, 40);
