/** For tests only: a server in a process of its own, `node child.ts DATADIR`. Says `listening`; ends on SIGTERM and with its parent. */
import { checkConfig } from '../config.ts';
import { runServer } from '../main.ts';

const running = await runServer(
  checkConfig({ dataDir: process.argv[2], listen: [{ host: '127.0.0.1', port: 0 }], logLevel: 'error' }),
);
process.once('SIGTERM', () => {
  process.stdin.destroy();
  void running.stop();
});
process.stdin.once('end', () => process.exit(1)).resume();
console.log('listening');
