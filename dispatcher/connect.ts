/** The connector that an operator's settings name. */
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Connector, ConnectorEvents } from './connector.ts';
import { createHttpConnector } from './connectors/http.ts';
import { createSmppConnector } from './connectors/smpp.ts';

export function connectOperator(settings: OperatorSettings, events: ConnectorEvents): Connector {
  return settings.connector === 'http'
    ? createHttpConnector(settings.name, settings.http, events)
    : createSmppConnector(settings.name, settings.smpp, events);
}
