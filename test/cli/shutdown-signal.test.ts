import { onShutdownSignal } from '../../src/cli/shutdown-signal';
import { SECOND } from '../../src/clock';
import { FakeClock } from '../support/fake-clock';

describe('A signal to end', () => {
  test('stops the first time, is taken for the same one within a second, and then ends at once', () => {
    const clock = new FakeClock();
    const did: string[] = [];
    const told = onShutdownSignal({ clock, stop: () => did.push('stop'), end: (signal) => did.push(`end by ${signal}`) });
    told('SIGINT');
    told('SIGINT');
    clock.advance(SECOND - 1);
    told('SIGTERM');
    expect(did).toEqual(['stop']);
    clock.advance(1);
    told('SIGTERM');
    expect(did).toEqual(['stop', 'end by SIGTERM']);
  });
});
