import { serve } from './serve.ts';
import { newEngine } from './text-engine.ts';

serve(newEngine());
