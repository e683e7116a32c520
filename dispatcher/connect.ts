/** The connector that an operator's settings name. */
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Connector, ConnectorEvents } from './connector.ts';
import { createHttpConnector } from './connectors/http.ts';

export function connectOperator(settings: OperatorSettings, events: ConnectorEvents): Connector {
  if (settings.connector === 'http') return createHttpConnector(settings.name, settings.http, events);
  throw new Error('no SMPP yet');
}
