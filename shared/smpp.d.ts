/**
 * Types of the npm package `smpp` 0.5.1, which has none: the client's and the server's side, as far as this project
 * uses or may use them. Import it as a default (`import smpp from 'smpp'`): it is CommonJS that fills its exports in a
 * loop, which Deno's named imports cannot see; types come by name (`import type { Pdu } from 'smpp'`).
 */
declare module 'smpp' {
  import type { EventEmitter } from 'node:events';
  import type { AddressInfo, ListenOptions, Server as NetServer, Socket } from 'node:net';
  import type { TlsOptions } from 'node:tls';

  /** Requests of SMPP 3.4 that this project sends or reads; each has a `_resp` but alert_notification. */
  export type RequestCommand =
    | 'bind_transceiver'
    | 'bind_transmitter'
    | 'bind_receiver'
    | 'outbind'
    | 'unbind'
    | 'enquire_link'
    | 'submit_sm'
    | 'submit_multi'
    | 'deliver_sm'
    | 'data_sm'
    | 'query_sm'
    | 'cancel_sm'
    | 'replace_sm'
    | 'alert_notification';
  export type Command = RequestCommand | `${RequestCommand}_resp` | 'generic_nack' | 'unknown';

  /** What a message field becomes when it is read; a Buffer or a string may be written in its place. */
  export type Message = { message: string | Buffer; udh?: Buffer[] };
  export type WrittenMessage = string | Buffer | { message: string | Buffer; udh?: Buffer };

  /** The fields of a PDU that may be given when it is written. Left out ones get the protocol's default. */
  export type PduFields = {
    command_status?: number;
    sequence_number?: number;
    system_id?: string;
    password?: string;
    system_type?: string;
    interface_version?: number;
    addr_ton?: number;
    addr_npi?: number;
    address_range?: string;
    service_type?: string;
    source_addr_ton?: number;
    source_addr_npi?: number;
    source_addr?: string;
    dest_addr_ton?: number;
    dest_addr_npi?: number;
    destination_addr?: string;
    esm_class?: number;
    protocol_id?: number;
    priority_flag?: number;
    /** A string in the protocol's form, or a Date. */
    schedule_delivery_time?: string | Date;
    validity_period?: string | Date;
    registered_delivery?: number;
    replace_if_present_flag?: number;
    /** null or left out: found out from the message. */
    data_coding?: number | null;
    sm_default_msg_id?: number;
    /** A Buffer goes out as it is; a string is encoded by data_coding. */
    short_message?: WrittenMessage;
    message_id?: string;
  } & TlvFields;

  export type TlvFields = {
    message_payload?: WrittenMessage;
    user_message_reference?: number;
    receipted_message_id?: string;
    message_state?: number;
    network_error_code?: Buffer;
    sar_msg_ref_num?: number;
    sar_total_segments?: number;
    sar_segment_seqnum?: number;
    sc_interface_version?: number;
    more_messages_to_send?: number;
    source_port?: number;
    destination_port?: number;
    additional_status_info_text?: string;
    delivery_failure_reason?: number;
  };

  /** A PDU that was read: fields are missing where the PDU ended early or carries an error status. */
  export type Pdu = Omit<PduFields, 'short_message' | 'message_payload' | 'command_status' | 'sequence_number'> & {
    command: Command;
    command_length: number;
    command_id: number;
    command_status: number;
    sequence_number: number;
    short_message?: Message;
    message_payload?: Message;
    isResponse(): boolean;
    /** The answer to this request, its sequence number taken over. */
    response(fields?: PduFields): Pdu;
    /** Throws a RangeError or TypeError when a field cannot be written. */
    toBuffer(): Buffer;
  };

  export interface PduConstructor {
    /** Reads a whole PDU. Throws when it is longer than `maxLength` or a field lies beyond its end. */
    new (bytes: Buffer): Pdu;
    new (command: Command, fields?: PduFields): Pdu;
    /** Bytes; read by every session in the process. */
    maxLength: number;
    /** false while the buffer holds less than a PDU. */
    fromBuffer(bytes: Buffer): Pdu | false;
  }

  /** Answers false, and nothing is sent, when the socket cannot be written. */
  export type Shortcut = {
    (fields: PduFields, onResponse?: (pdu: Pdu) => void, onSent?: (pdu: Pdu) => void): boolean;
    (onResponse?: (pdu: Pdu) => void, onSent?: (pdu: Pdu) => void): boolean;
  };

  type SessionEvents = {
    connect: [];
    secureConnect: [];
    close: [];
    error: [error: Error & { code?: string }];
    pdu: [pdu: Pdu];
    send: [pdu: Pdu];
    metrics: unknown[];
  } & { [K in Command]: [pdu: Pdu] };

  export interface Session extends EventEmitter<SessionEvents>, Record<RequestCommand, Shortcut> {
    readonly socket: Socket;
    readonly options: ConnectOptions;
    sequence: number;
    paused: boolean;
    /** Callbacks of requests without an answer yet; they are not called when the link closes. */
    readonly _callbacks: Record<number, (pdu: Pdu) => void>;
    /** Connects anew after a close. */
    connect(): void;
    send(pdu: Pdu, onResponse?: (pdu: Pdu) => void, onSent?: (pdu: Pdu) => void): boolean;
    pause(): void;
    resume(): void;
    close(onClosed?: () => void): void;
    destroy(onClosed?: () => void): void;
  }

  export type ConnectOptions = {
    url?: string;
    host?: string;
    port?: number;
    tls?: boolean;
    auto_enquire_link_period?: number;
    /** An own socket in the place of a new connection. */
    socket?: Socket;
    rejectUnauthorized?: boolean;
    ca?: string | Buffer | (string | Buffer)[];
    servername?: string;
    /** Milliseconds; of node:net's connect. */
    timeout?: number;
  };

  export interface Server extends NetServer {
    readonly sessions: Session[];
    readonly tls: boolean;
    on(event: 'session', listener: (session: Session) => void): this;
    on(event: 'error', listener: (error: Error & { code?: string }) => void): this;
    on(event: 'close' | 'listening', listener: () => void): this;
    // biome-ignore lint/suspicious/noExplicitAny: node:net's Server has this overload and an interface must keep it.
    on(event: string, listener: (...args: any[]) => void): this;
    listen(port?: number, host?: string, onListening?: () => void): this;
    listen(options: ListenOptions, onListening?: () => void): this;
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    listen(...args: any[]): this;
    address(): AddressInfo | string | null;
  }

  export type Encoding = {
    match(value: string): boolean;
    encode(value: string): Buffer;
    decode(value: Buffer): string;
  };

  export type Smpp = {
    connect(options: ConnectOptions | string, onConnect?: () => void): Session;
    createSession(options: ConnectOptions | string, onConnect?: () => void): Session;
    createServer(onSession?: (session: Session) => void): Server;
    createServer(options: TlsOptions, onSession?: (session: Session) => void): Server;
    addCommand(name: string, definition: { id: number; params?: object }): void;
    addTLV(name: string, definition: { id: number; type: object }): void;
    PDU: PduConstructor;
    Session: new (options: ConnectOptions) => Session;
    Server: new (options: TlsOptions, onSession?: (session: Session) => void) => Server;
    /** `default` names the one that data_coding 0 means; it is settable, for the whole process. */
    encodings: Record<'ASCII' | 'LATIN1' | 'UCS2', Encoding> & {
      default: string;
      detect(value: string): string | false;
    };
    commands: Record<string, { id: number; command: string; params?: object }>;
    commandsById: Record<number, { id: number; command: string }>;
    tlvs: Record<string, { id: number; tag: string }>;
    tlvsById: Record<number, { id: number; tag: string }>;
    errors: Record<string, number>;
    consts: {
      REGISTERED_DELIVERY: Record<string, number>;
      ESM_CLASS: Record<string, number>;
      MESSAGE_STATE: Record<string, number>;
      TON: Record<string, number>;
      NPI: Record<string, number>;
      ENCODING: Record<string, number>;
    };
    types: Record<string, object>;
  } & Readonly<Record<StatusName, number>>;

  /** Command statuses, also in `errors`. */
  export type StatusName =
    | 'ESME_ROK'
    | 'ESME_RINVMSGLEN'
    | 'ESME_RINVCMDLEN'
    | 'ESME_RINVCMDID'
    | 'ESME_RINVBNDSTS'
    | 'ESME_RALYBND'
    | 'ESME_RINVPRTFLG'
    | 'ESME_RINVREGDLVFLG'
    | 'ESME_RSYSERR'
    | 'ESME_RINVSRCADR'
    | 'ESME_RINVDSTADR'
    | 'ESME_RINVMSGID'
    | 'ESME_RBINDFAIL'
    | 'ESME_RINVPASWD'
    | 'ESME_RINVSYSID'
    | 'ESME_RMSGQFUL'
    | 'ESME_RINVSERTYP'
    | 'ESME_RINVESMCLASS'
    | 'ESME_RSUBMITFAIL'
    | 'ESME_RINVSRCTON'
    | 'ESME_RINVSRCNPI'
    | 'ESME_RINVDSTTON'
    | 'ESME_RINVDSTNPI'
    | 'ESME_RINVSYSTYP'
    | 'ESME_RTHROTTLED'
    | 'ESME_RINVSCHED'
    | 'ESME_RINVEXPIRY'
    | 'ESME_RX_T_APPN'
    | 'ESME_RX_P_APPN'
    | 'ESME_RX_R_APPN'
    | 'ESME_RINVTLVSTREAM'
    | 'ESME_RTLVNOTALLWD'
    | 'ESME_RINVTLVLEN'
    | 'ESME_RMISSINGTLV'
    | 'ESME_RINVTLVVAL'
    | 'ESME_RDELIVERYFAILURE'
    | 'ESME_RUNKNOWNERR';

  const smpp: Smpp;
  export default smpp;
}
