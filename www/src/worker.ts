import { serve } from './serve.ts';
import { newEngine } from './small.ts';

serve(newEngine());
